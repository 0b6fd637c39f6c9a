#include "actors/admin/message_pages.hpp"
#include "tests/unit/access_file.hpp"
#include "tests/unit/broker_by_hand.hpp"
#include "tests/unit/http_by_hand.hpp"

#include <nlohmann/json.hpp>

using namespace ropewalk;

/// What clients ask about messages, over both protocols, and what each of them may see.

namespace {

using asked = message_query::about;

// Clients whose tokens are their names: two may ask for echo, the watcher may see all, the chief act.
access_file four_clients() {
  return access_file{
      "secret sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b echo\n"
      "other sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa echo\n"
      "watcher sha256:0e7f3c5c909ce8afb978a208d639e85af2171df2ec0003a07f13ad97878ef053 @status\n"
      "chief sha256:9285827b8031a1dbe7d1d04eb8a08c8891ee424a8002cfc7dd2df3d82cbff611 @admin\n"};
}

// The JSON that a client was told last.
nlohmann::json told(const fake_client& who) {
  const auto& text = who.told();
  return nlohmann::json::parse(text.substr(text.rfind("{\"now\"")), nullptr, false);
}

std::string bearer(std::string_view token) {
  return "Authorization: Bearer " + std::string{token} + "\r\n";
}

// What is answered to one who asks so, on a connection of his own.
std::string said_to(broker_by_hand& b, const std::string& request) {
  const auto c = b.connect_http();
  c->says(request);
  b.read(c);
  return c->told();
}

nlohmann::json explained(broker_by_hand& b, std::string_view what, std::string_view fields = {}) {
  const auto said = said_to(b, get("/v1/messages" + std::string{what}, fields));
  return nlohmann::json::parse(said.substr(said.rfind("{\"now\"")))["messages"];
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
  CHECK(query->what == asked::failed);
  CHECK(query->service == "a&b");
  CHECK(query->limit == 7);
  CHECK(read_message_query("/v1/messages")->what == asked::recent);
  CHECK(read_message_query("/v1/messages?slow")->what == asked::slow);
  CHECK(read_message_query("/v1/messages?open&service=x")->what == asked::open);
  const auto one = read_message_query("/v1/messages/3.17.2-18446744073709551615");
  REQUIRE(one);
  CHECK(one->what == asked::one);
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
  const auto file = four_clients();
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
    c->says(get("/v1/messages?open", bearer(token)));
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

TEST_CASE("who runs the broker takes a message back over HTTP, wherever it is: its client gets "
          "CANCELLED, its node is told, and the history says who did it") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect();
  for (std::uint64_t id = 1; id <= 9; ++id) c->asks(id, "echo");
  b.read(c);
  const auto open = explained(b, "?open");
  REQUIRE(open[0]["state"] == "with a node");
  REQUIRE(open[8]["state"] == "waiting");

  const auto runs = said_to(b, post_to("/v1/cancel/0.0.0-1", {}));
  CHECK(runs.starts_with("HTTP/1.1 200"));
  CHECK(count(runs, "message 0.0.0-1 of service echo is taken back: its client is answered "
                    "CANCELLED, and node left, which has it, is to stop it") == 1);
  CHECK(count(c->told(), "who runs the broker has taken it back") == 1);
  CHECK(b.withdrawn == 1);
  const auto waits = said_to(b, post_to("/v1/cancel/0.0.0-9", {}));
  CHECK(waits.starts_with("HTTP/1.1 200"));
  CHECK(count(waits, "and node") == 0);
  CHECK(count(c->told(), "who runs the broker has taken it back") == 2);
  CHECK(b.withdrawn == 1);
  CHECK(explained(b, "?open").size() == 7);

  const auto failed = explained(b, "?failed"); // a client's own CANCEL is none of these
  REQUIRE(failed.size() == 2);
  for (const auto& one : failed) {
    CHECK(one["code"] == "CANCELLED");
    CHECK(one["cancelled_by"] == "a client at 192.0.2.1");
    CHECK(one["detail"] == "who runs the broker has taken it back");
  }
  CHECK(failed[1]["attempts"][0]["end"] == "withdrawn");
  b.answer_next("late"); // what the node says of it now is said to nobody
  CHECK(count(c->told(), "late") == 0);
}

TEST_CASE("a message that is answered, or unknown, or none, is not taken back, and that is said") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect();
  c->asks(1, "echo");
  c->asks(2, "echo");
  b.read(c);
  b.answer_next("y");
  const auto answered = said_to(b, post_to("/v1/cancel/0.0.0-1", {}));
  CHECK(answered.starts_with("HTTP/1.1 409"));
  CHECK(count(answered, "message 0.0.0-1 has been answered already: OK") == 1);
  for (const auto* unknown : {"0.0.0-3", "0.0.1-2", "0.7.0-2", "1.0.0-2"}) {
    const auto said = said_to(b, post_to("/v1/cancel/" + std::string{unknown}, {}));
    CHECK(said.starts_with("HTTP/1.1 404"));
    CHECK(count(said, "no message " + std::string{unknown} + " is under way") == 1);
  }
  for (const auto* none : {"2", "0.0.0", "4bf92f3577b34da6a3ce929d0e0e4736", "%3Cb%3E"})
    CHECK(said_to(b, post_to("/v1/cancel/" + std::string{none}, {})).starts_with("HTTP/1.1 400"));
  CHECK(said_to(b, get("/v1/cancel/0.0.0-2")).starts_with("HTTP/1.1 405"));
  for (const auto* fields : {"Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n"})
    CHECK(said_to(b, post_to("/v1/cancel/0.0.0-2", {}, fields)).starts_with("HTTP/1.1 403"));
  CHECK(explained(b, "?open").size() == 1);
  CHECK(count(c->told(), "taken it back") == 0);
  // An id that its client has used again is that of the one under way.
  c->asks(1, "echo");
  b.read(c);
  CHECK(said_to(b, post_to("/v1/cancel/0.0.0-1", {})).starts_with("HTTP/1.1 200"));
}

TEST_CASE("to take a message back wants @admin, and who did it is shown to those who may see all") {
  const auto file = four_clients();
  broker_by_hand b{{}, file.settings()};
  b.add_node("echo", 2);
  const auto mine = hello(b, "secret");
  mine->asks(2, "echo");
  b.read(mine);
  const auto id = explained(b, "?open", bearer("watcher"))[0]["id"].get<std::string>();
  const auto cancel = [&](const std::string& fields) {
    return said_to(b, post_to("/v1/cancel/" + id, {}, fields)).substr(9, 3);
  };
  CHECK(cancel({}) == "401");
  CHECK(cancel(bearer("secret")) == "403"); // whose it is
  CHECK(cancel(bearer("watcher")) == "403");
  CHECK_FALSE(mine->was_told("taken it back"));
  CHECK(cancel(bearer("chief")) == "200"); // who may not even see it
  CHECK(mine->was_told("who runs the broker has taken it back"));
  CHECK(explained(b, "/" + id, bearer("watcher"))[0]["cancelled_by"] == "chief");
  CHECK_FALSE(explained(b, "/" + id, bearer("secret"))[0].contains("cancelled_by"));
}
