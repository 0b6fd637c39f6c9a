#include "actors/admin/message_pages.hpp"
#include "tests/unit/access_file.hpp"
#include "tests/unit/broker_by_hand.hpp"

#include <nlohmann/json.hpp>

using namespace ropewalk;

/// What clients ask about messages, over both protocols, and what each of them may see.

namespace {

using about = message_query::about;

// Clients whose tokens are their names: two may ask for echo, the watcher may see all.
access_file three_clients() {
  return access_file{
      "secret sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b echo\n"
      "other sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa echo\n"
      "watcher sha256:0e7f3c5c909ce8afb978a208d639e85af2171df2ec0003a07f13ad97878ef053 @status\n"};
}

// The JSON that a client was told last.
nlohmann::json told(const fake_client& who) {
  const auto& text = who.told();
  return nlohmann::json::parse(text.substr(text.rfind("{\"now\"")), nullptr, false);
}

std::string get(std::string_view target, std::string_view token = {}) {
  std::string result = "GET " + std::string{target} + " HTTP/1.1\r\nHost: localhost\r\n";
  if (!token.empty()) result += "Authorization: Bearer " + std::string{token} + "\r\n";
  return result + "\r\n";
}

std::shared_ptr<fake_client> hello(broker_by_hand& b, std::string_view token) {
  const auto c = b.connect();
  std::vector<char> out;
  field_writer fields;
  fields.u8(field::version, 1).text(field::token, token);
  append_frame(out, frame_kind::hello, error_code::ok, 1, fields.bytes(), {});
  c->says({out.data(), out.size()});
  b.read(c);
  return c;
}

} // namespace

TEST_CASE("what is asked about messages is read, and what makes no sense is said") {
  const auto query = read_message_query("/v1/messages?failed&service=a%26b&limit=7");
  REQUIRE(query);
  CHECK(query->what == about::failed);
  CHECK(query->service == "a&b");
  CHECK(query->limit == 7);
  CHECK(read_message_query("/v1/messages")->what == about::recent);
  CHECK(read_message_query("/v1/messages?slow")->what == about::slow);
  CHECK(read_message_query("/v1/messages?open&service=x")->what == about::open);
  const auto one = read_message_query("/v1/messages/3.17.2-18446744073709551615");
  REQUIRE(one);
  CHECK(one->what == about::one);
  CHECK((one->id == message_id{3, 17, 2, 18446744073709551615u}));
  CHECK(one->id->text() == "3.17.2-18446744073709551615");
  CHECK(read_message_query("/v1/messages/4bf92f3577b34da6a3ce929d0e0e4736")->trace);
  CHECK(read_message_query("/v1/messages/00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
            ->trace);
  for (const std::string_view wrong :
       {"/status", "/v1/messagesx", "/v1/messages?", "/v1/messages/", "/v1/messages/x",
        "/v1/messages/1.2.3", "/v1/messages/1.2.3-4x", "/v1/messages/99999.2.3-4",
        "/v1/messages?limit=0", "/v1/messages?limit=1001", "/v1/messages?limit=x",
        "/v1/messages?service=", "/v1/messages?service=%zz", "/v1/messages?what"}) {
    INFO(wrong);
    const bool taken{read_message_query(wrong)};
    CHECK(taken == (wrong == "/v1/messages?")); // asks for nothing in particular
  }
}

TEST_CASE("clients that speak frames ask by STATUS with a payload, others by HTTP") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect();
  c->asks(7, "echo");
  c->asks(8, "echo");
  b.read(c);
  b.now += 250ms;
  c->says(frame_kind::status, 9, "", "/v1/messages?open");
  b.read(c);
  const auto open = told(*c);
  REQUIRE(open["messages"].size() == 2);
  const auto& first = open["messages"][0];
  CHECK(first["id"] == "0.0.0-7");
  CHECK(first["service"] == "echo");
  CHECK(first["seconds"] == 0.25);
  CHECK(first["address"] == "192.0.2.1");
  CHECK(first["state"] == "with a node");
  CHECK(first["attempts"][0]["end"] == "open");

  c->says(frame_kind::cancel, 7, "", "");
  b.read(c);
  const auto web = b.connect_http();
  web->says(get("/v1/messages/0.0.0-7"));
  b.read(web);
  CHECK(web->was_told("HTTP/1.1 200"));
  const auto cancelled = told(*web)["messages"][0];
  CHECK(cancelled["code"] == "CANCELLED");
  CHECK(cancelled["state"] == "ended");
  CHECK(cancelled["came"] == "1969-12-31T23:59:59.750Z");
  CHECK(cancelled["attempts"][0]["end"] == "withdrawn");

  web->says(get("/v1/messages?nonsense"));
  b.read(web);
  CHECK(web->was_told("HTTP/1.1 400"));
  c->says(frame_kind::status, 10, "", "what now");
  b.read(c);
  CHECK(c->was_told("this is no question about messages"));
  web->says("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
  b.read(web);
  CHECK(web->was_told("HTTP/1.1 405"));
}

TEST_CASE("somebody who may not see the broker sees what he asked himself, without the nodes") {
  const auto file = three_clients();
  broker_by_hand b{{}, file.settings()};
  b.add_node("echo", 2);
  const auto mine = hello(b, "secret");
  mine->asks(2, "echo");
  const auto web = b.connect_http();
  web->says("POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
            "Authorization: Bearer other\r\n\r\nx");
  b.read(mine);
  b.read(web);

  const auto seen = [&](std::string_view token) {
    const auto c = b.connect_http();
    c->says(get("/v1/messages?open", token));
    b.read(c);
    return told(*c)["messages"];
  };
  REQUIRE(seen("secret").size() == 1);
  CHECK(seen("secret")[0]["client"] == "secret");
  CHECK_FALSE(seen("secret")[0]["attempts"][0].contains("node"));
  CHECK(seen("secret")[0]["waits"] == "");
  REQUIRE(seen("other").size() == 1);
  CHECK(seen("other")[0]["client"] == "other");
  REQUIRE(seen("watcher").size() == 2);
  CHECK(seen("watcher")[0]["attempts"][0]["node"] == "left");

  const auto nobody = b.connect_http();
  nobody->says(get("/v1/messages?open"));
  b.read(nobody);
  CHECK(nobody->was_told("HTTP/1.1 401"));
}

TEST_CASE(
    "a traceparent over HTTP is kept with its message and comes back with the answer, and what "
    "is none is taken for none") {
  const std::string good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  broker_by_hand b;
  b.add_node("echo", 2);
  const auto traced = b.connect_http();
  const auto post = [](const std::string& traceparent) {
    return "POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n"
           "TraceParent: " +
           traceparent + "\r\n\r\nx";
  };
  traced->says(post(good));
  b.read(traced);
  const auto asks = b.connect_http();
  asks->says(get("/v1/messages/4bf92f3577b34da6a3ce929d0e0e4736"));
  b.read(asks);
  REQUIRE(told(*asks)["messages"].size() == 1);
  CHECK(told(*asks)["messages"][0]["traceparent"] == good);
  b.answer_next("x");
  CHECK(traced->was_told("traceparent: " + good + "\r\n"));

  const auto other = b.connect_http();
  other->says(post(good + "x"));
  b.read(other);
  b.answer_next("x");
  CHECK(other->was_told("HTTP/1.1 200"));
  CHECK_FALSE(other->was_told("traceparent"));
}
