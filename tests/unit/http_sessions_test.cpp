#include "tests/unit/broker_by_hand.hpp"
#include "tests/unit/http_by_hand.hpp"

#include <nlohmann/json.hpp>

using namespace ropewalk;

/// Clients that speak HTTP, without sockets: what they are told, and how long they may stay.

namespace {

std::string post(std::string_view service, std::string_view body, std::string_view fields = {}) {
  return post_to("/v1/services/" + std::string{service}, body, fields);
}

} // namespace

TEST_CASE("answers over HTTP come in the order of the requests, whichever is ready first") {
  broker_by_hand b;
  b.now += dispatch_settings{}.startup_grace;
  b.add_node("echo", 1);
  const auto c = b.connect_http();
  c->says(post("echo", "one") + get("/healthz") + post("none", "x") + get("/readyz"));
  b.read(c);
  CHECK(c->told().empty()); // the first is not answered yet
  b.answer_next("first");
  const auto& told = c->told();
  CHECK(count(told, "HTTP/1.1 ") == 4);
  const auto first = told.find("200 OK");
  const auto ok = told.find("\r\n\r\nok\n");
  const auto none = told.find("404 Not Found");
  CHECK(told.find("\r\n\r\nfirst") > first);
  CHECK(ok > told.find("first"));
  CHECK(none > ok);
  CHECK(told.ends_with("ready\n"));
  CHECK_FALSE(c->is_finished());
}

TEST_CASE("HEAD has the fields of GET and no body, and OPTIONS says what there is") {
  broker_by_hand b;
  const auto c = b.connect_http();
  c->says("HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
  b.read(c);
  CHECK(c->was_told("Content-Length: 3\r\n"));
  CHECK(c->told().ends_with("\r\n\r\n"));
  const auto options = b.connect_http();
  options->says("OPTIONS /v1/services/a HTTP/1.1\r\nHost: localhost\r\n\r\n" +
                get("/v1/services/a"));
  b.read(options);
  CHECK(options->was_told("204 No Content"));
  CHECK(options->was_told("405 Method Not Allowed"));
  CHECK(count(options->told(), "Allow: POST, OPTIONS\r\n") == 2);
}

TEST_CASE(
    "the numbers are shown as JSON and as Prometheus' text, a round for all who ask at once") {
  broker_by_hand b;
  b.numbers.requests.waiting = 7;
  const auto c = b.connect_http();
  c->says(get("/status") + get("/metrics"));
  b.read(c);
  CHECK(c->was_told("Content-Type: application/json\r\n"));
  CHECK(c->was_told("\"queued\":7"));
  CHECK(c->was_told("Content-Type: text/plain; version=0.0.4"));
  CHECK(c->was_told("\nropewalk_requests_queued 7\n"));
}

TEST_CASE("a client that waits with its body is told to go on, or why it need not") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect_http();
  c->says("POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
          "Content-Length: 3\r\n\r\n");
  b.read(c);
  CHECK(c->told() == "HTTP/1.1 100 Continue\r\n\r\n");
  c->says("abc");
  b.read(c);
  CHECK(b.at_node() == 1);
  b.answer_next("abc");
  CHECK(c->told().ends_with("\r\n\r\nabc"));

  const secret_file file{"other"};
  broker_by_hand asks{{}, file.settings()};
  const auto stranger = asks.connect_http();
  stranger->says("POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                 "Content-Length: 3\r\n\r\n");
  asks.read(stranger);
  CHECK(stranger->told().starts_with("HTTP/1.1 401 Unauthorized\r\n"));
  CHECK(stranger->is_finished());
}

TEST_CASE(
    "over HTTP, too, a token opens the services that it is for, and the numbers if it says so") {
  const auto first_line = [](const access_file& file, const std::string& request) {
    broker_by_hand b{{}, file.settings()};
    b.add_node("echo", 1);
    const auto c = b.connect_http();
    c->says(request);
    b.read(c);
    if (b.at_node() > 0) return std::string{"placed"};
    return c->told().substr(0, 12);
  };
  const auto token = std::string_view{with_token};
  {
    const secret_file echo{"echo"};
    CHECK(first_line(echo, post("echo", "x")) == "HTTP/1.1 401");
    CHECK(first_line(echo, post("echo", "x", "Authorization: Bearer wrong\r\n")) == "HTTP/1.1 401");
    CHECK(first_line(echo, post("echo", "x", token)) == "placed");
    CHECK(first_line(echo, post("other", "x", token)) == "HTTP/1.1 403");
    CHECK(first_line(echo, get("/metrics", token)) == "HTTP/1.1 403");
    CHECK(first_line(echo, get("/status", token)) == "HTTP/1.1 200");
    CHECK(first_line(echo, get("/status")) == "HTTP/1.1 401");
    CHECK(first_line(echo, get("/healthz")) == "HTTP/1.1 200");
    CHECK(first_line(echo, get("/readyz")) == "HTTP/1.1 200");
  }
  {
    const secret_file sees{"@status"};
    CHECK(first_line(sees, get("/metrics", token)) == "HTTP/1.1 200");
    CHECK(first_line(sees, post("echo", "x", token)) == "HTTP/1.1 403");
    CHECK(first_line(sees, post("@status", "x", token)) == "HTTP/1.1 403");
  }
  const secret_file all{"*"};
  CHECK(first_line(all, get("/metrics", token)) == "HTTP/1.1 200");
  CHECK(first_line(all, post("echo", "x", token)) == "placed");
}

TEST_CASE("who may ask for some services sees by HTTP what STATUS shows him") {
  const secret_file file{"echo"};
  broker_by_hand b{{}, file.settings()};
  b.numbers.nodes.push_back({"secret-name", "10.0.0.1", {"echo", "other"}, 3, 4, 5, 6});
  const auto c = b.connect_http();
  c->says(get("/status", with_token));
  b.read(c);
  CHECK(c->was_told("\"services\":[\"echo\"]"));
  CHECK_FALSE(c->was_told("secret-name"));
  CHECK_FALSE(c->was_told("other"));
}

TEST_CASE("foreign names and pages of other sites are refused before anything is done") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect_http();
  c->says("POST /v1/services/echo HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\nx");
  b.read(c);
  CHECK(c->told().starts_with("HTTP/1.1 421"));
  const auto other = b.connect_http();
  other->says(post("echo", "x", "Origin: https://evil.example\r\n"));
  b.read(other);
  CHECK(other->told().starts_with("HTTP/1.1 403"));
  CHECK(b.at_node() == 0);
}

TEST_CASE("errors of requests are statuses of HTTP, BUSY says when to come again") {
  dispatch_settings work;
  work.queue = 1;
  broker_by_hand b{{}, {}, work};
  b.add_node("echo", 1);
  const auto c = b.connect_http();
  c->says(post("echo", "1", "Ropewalk-Timeout: 100ms\r\n"));
  b.read(c);
  b.pass(200ms);
  CHECK(c->told().starts_with("HTTP/1.1 504 Gateway Timeout\r\n"));
  CHECK(c->was_told("\"code\":\"TIMEOUT\""));
  const auto many = b.connect_http();
  for (int i = 0; i < 9000; ++i) many->says(post("echo", "1", "Ropewalk-Key: same\r\n"));
  b.read(many);
  const auto wrong = b.connect_http();
  wrong->says(post("echo", "1", "Ropewalk-Priority: urgent\r\n"));
  b.read(wrong);
  CHECK(wrong->told().starts_with("HTTP/1.1 400"));
  const auto busy = b.connect_http();
  busy->says(post("echo", "1"));
  b.read(busy);
  CHECK(busy->told().starts_with("HTTP/1.1 429"));
  CHECK(busy->was_told("Retry-After: "));
}

TEST_CASE("a client of HTTP that goes away takes back what it asked for") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect_http();
  c->says(post("echo", "running") + post("echo", "waiting"));
  b.read(c);
  c->closes_its_half();
  b.read(c);
  CHECK(b.clients.size() == 0);
  CHECK(c->is_closed());
}

TEST_CASE("a connection over HTTP ends behind the answer to its last request") {
  broker_by_hand b;
  b.add_node("echo", 1);
  for (const auto* fields : {"Connection: close\r\n", ""}) {
    const auto c = b.connect_http();
    if (*fields)
      c->says(post("echo", "x", fields));
    else
      c->says("POST /v1/services/echo HTTP/1.0\r\nContent-Length: 1\r\n\r\nx");
    c->says(get("/healthz")); // behind the last: nobody reads that
    b.read(c);
    CHECK_FALSE(c->is_finished());
    b.answer_next("y");
    CHECK(c->was_told("Connection: close\r\n"));
    CHECK(c->told().ends_with("\r\n\r\ny"));
    CHECK(c->is_finished());
  }
}

TEST_CASE("slow heads, slow bodies and strangers who say nothing have their times over HTTP, too") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto silent = b.connect_http();
  const auto slow_head = b.connect_http();
  const auto slow_body = b.connect_http();
  const auto waits = b.connect_http();
  const auto idle = b.connect_http();
  slow_body->says(
      "POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n");
  b.read(slow_body);
  waits->says(post("echo", "x", "Ropewalk-Timeout: 1000s\r\n"));
  b.read(waits);
  idle->says(get("/healthz"));
  b.read(idle);
  for (const char c : std::string_view{"GET / HTTP"}) {
    slow_head->says({&c, 1});
    b.read(slow_head);
    b.pass(1'100ms);
  }
  CHECK(silent->is_finished());
  CHECK(silent->told().empty());
  CHECK(slow_head->told().starts_with("HTTP/1.1 408"));
  CHECK(slow_head->is_finished());
  CHECK_FALSE(slow_body->is_finished());
  CHECK_FALSE(idle->is_finished());
  b.pass(60s);
  CHECK(slow_body->told().starts_with("HTTP/1.1 408"));
  b.pass(20s);
  CHECK(idle->is_finished());
  CHECK_FALSE(waits->is_finished());
}

TEST_CASE("bodies that are on their way count against the broker's memory") {
  broker_tuning limits;
  limits.dispatch.memory = 1000;
  broker_by_hand b{limits};
  const auto c = b.connect_http();
  c->says("POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n" +
          std::string(2000, 'x'));
  b.read(c);
  CHECK(c->told().starts_with("HTTP/1.1 429"));
  CHECK(c->is_finished());
  CHECK(b.clients.incoming_bytes() == 0);
}

TEST_CASE("while the broker drains it is not ready, takes nothing new, and lets connections go") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect_http();
  const auto d = b.connect_http();
  b.clients.begin_drain();
  c->says(post("echo", "x"));
  b.read(c);
  CHECK(c->told().starts_with("HTTP/1.1 503"));
  CHECK(c->was_told("Retry-After: 1\r\n"));
  CHECK(c->is_finished());
  d->says(get("/readyz"));
  b.read(d);
  CHECK(d->told().starts_with("HTTP/1.1 503"));
}
