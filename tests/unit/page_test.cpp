#include "actors/admin/page.hpp"
#include "actors/admin/page_events.hpp"
#include "tests/unit/broker_by_hand.hpp"
#include "tests/unit/http_by_hand.hpp"

#include <nlohmann/json.hpp>

using namespace ropewalk;

/// The page, what it hears, and what may be done there: without sockets.

namespace {

// What one event of that name says that was told last.
nlohmann::json last_event(const std::string& told, const std::string& name) {
  const auto head = "event: " + name + "\ndata: ";
  const auto at = told.rfind(head);
  REQUIRE(at != std::string::npos);
  const auto begin = at + head.size();
  return nlohmann::json::parse(told.substr(begin, told.find("\n\n", begin) - begin));
}

// A second is over, as the front says it.
void pass_second(broker_by_hand& b) {
  b.now += 1s;
  b.clients.events().begin_second();
  b.end_turn();
}

// A service and a node, of that name, in what STATUS says.
void add_numbers(broker_by_hand& b, const std::string& service, const std::string& node) {
  service_report s;
  s.state.name = service;
  b.numbers.services.push_back(s);
  node_report n;
  n.name = node;
  n.services = {service};
  n.gateway = "gateway of " + node;
  b.numbers.nodes.push_back(n);
}

} // namespace

TEST_CASE("the page is shown to everybody, with what lets a browser run nothing else in it") {
  const secret_file file{"echo"};
  broker_by_hand b{{}, file.settings()};
  const auto c = b.connect_http();
  c->says(get("/"));
  b.read(c);
  CHECK(c->told().starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n"));
  CHECK(c->was_told("Content-Encoding: gzip\r\n"));
  CHECK(c->was_told("Content-Security-Policy: default-src 'none'; "));
  CHECK(c->was_told("script-src 'sha256-"));
  CHECK(c->was_told("style-src 'sha256-"));
  CHECK_FALSE(c->was_told("unsafe-inline"));
  CHECK(c->told().ends_with(the_admin_page().gzip));
  CHECK(the_admin_page().gzip.substr(0, 2) == "\x1f\x8b");
}

TEST_CASE("who listens is told at once what there is, and every second what is new") {
  broker_by_hand b;
  b.history.record(0, {}, b.now);
  b.history.record(0, {}, b.now + 5s);
  b.now += 6s;
  add_numbers(b, "<b>", "left");
  const auto c = b.connect_http();
  c->says(get("/events"));
  b.read(c);
  CHECK(c->told().starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"));
  CHECK_FALSE(c->was_told("Content-Length"));
  CHECK(c->was_told("Connection: close\r\n"));
  const auto hello = last_event(c->told(), "hello");
  CHECK(hello["may_act"] == true);
  CHECK(hello["settings"].size() > 20);
  CHECK(hello["settings"][0]["option"] == "--max-message-bytes");
  CHECK(last_event(c->told(), "status")["services"][0]["name"] == "<b>");
  const auto points = last_event(c->told(), "points")["points"];
  REQUIRE(points.size() == 1);
  CHECK(points[0][0] == 1.0); // so many seconds ago
  // Nothing new in the history, then one more.
  b.numbers.requests.waiting = 9;
  pass_second(b);
  CHECK(last_event(c->told(), "status")["queued"] == 9);
  CHECK(count(c->told(), "event: points\n") == 1);
  b.history.record(0, {}, b.now + 5s);
  b.now += 5s;
  pass_second(b);
  CHECK(count(c->told(), "event: points\n") == 2);
  CHECK(last_event(c->told(), "points")["points"].size() == 1);
  CHECK(count(c->told(), "event: hello\n") == 1);
  CHECK(count(c->told(), "event: status\n") == 3);
  CHECK_FALSE(c->is_finished());
}

TEST_CASE("no numbers are collected while nobody listens, and none for who has gone") {
  broker_by_hand b;
  b.clients.events().begin_second();
  b.clients.events().hurry(b.now);
  CHECK_FALSE(b.clients.wants_status_round());
  const auto c = b.connect_http();
  c->says(get("/events"));
  b.read(c);
  pass_second(b);
  CHECK(count(c->told(), "event: status\n") == 2);
  b.lose(c);
  pass_second(b); // in which that is noticed
  b.clients.events().begin_second();
  CHECK_FALSE(b.clients.wants_status_round());
}

TEST_CASE("a listener that closes its half is let go, and one over HTTP/1.0 is heard") {
  broker_by_hand b;
  const auto c = b.connect_http();
  c->says("GET /events HTTP/1.0\r\n\r\n");
  b.read(c);
  CHECK(c->was_told("event: hello\n"));
  c->closes_its_half();
  b.read(c);
  CHECK(b.clients.size() == 0);
}

TEST_CASE("a node that comes or goes is shown at once, but no flood of them") {
  broker_by_hand b;
  const auto c = b.connect_http();
  c->says(get("/events"));
  b.read(c);
  REQUIRE(count(c->told(), "event: status\n") == 1);
  b.now += event_stream::min_interval;
  for (int i = 0; i < 5; ++i) {
    b.clients.events().hurry(b.now);
    b.end_turn();
  }
  CHECK(count(c->told(), "event: status\n") == 2);
  pass_second(b);
  CHECK(count(c->told(), "event: status\n") == 3);
}

TEST_CASE("a slow listener misses events, nothing is kept for it, and it is cut off in the end") {
  broker_by_hand b;
  const auto slow = b.connect_http();
  const auto fast = b.connect_http();
  slow->says(get("/events"));
  b.read(slow);
  fast->says(get("/events"));
  b.read(fast);
  const auto had = slow->told().size();
  slow->takes(10);
  for (int i = 0; i < 10; ++i) pass_second(b);
  CHECK(slow->told().size() == had + 10);
  CHECK(b.clients.unread_bytes() < 20'000); // one event, whatever came since
  CHECK(count(fast->told(), "event: status\n") == 11);
  slow->takes(1'000'000);
  pass_second(b);
  CHECK(last_event(slow->told(), "status").contains("queued"));
  const auto missed =
      count(fast->told(), "event: status\n") - count(slow->told(), "event: status\n");
  CHECK(missed >= 8);
  // Its kernel keeps what it does not read, too.
  slow->leaves_unacknowledged(1);
  pass_second(b);
  const auto then = slow->told().size();
  for (int i = 0; i < 40; ++i) pass_second(b);
  CHECK(slow->told().size() == then);
  CHECK(slow->is_cut_off());
  CHECK_FALSE(fast->is_cut_off());
}

TEST_CASE("so many may listen and no more, and whoever leaves makes room") {
  broker_by_hand b;
  std::vector<std::shared_ptr<fake_client>> pages;
  for (std::size_t i = 0; i < event_stream::max_listeners; ++i) {
    pages.push_back(b.connect_http());
    pages.back()->says(get("/events"));
    b.read(pages.back());
    CHECK(pages.back()->was_told("event: hello\n"));
  }
  const auto late = b.connect_http();
  late->says(get("/events") + get("/healthz"));
  b.read(late);
  CHECK(late->told().starts_with("HTTP/1.1 503"));
  CHECK(late->was_told("Retry-After: 10\r\n"));
  CHECK(late->was_told("\r\n\r\nok\n")); // its connection goes on
  b.lose(pages.front());
  pass_second(b);
  const auto next = b.connect_http();
  next->says(get("/events"));
  b.read(next);
  CHECK(next->was_told("event: hello\n"));
}

TEST_CASE("events are asked for on a connection of their own") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect_http();
  c->says(post_to("/v1/services/echo", "x") + get("/events"));
  b.read(c);
  b.answer_next("y");
  CHECK(c->was_told("\r\n\r\nyHTTP/1.1 400"));
  CHECK_FALSE(c->was_told("event:"));
}

TEST_CASE("who may not see everything hears nothing, and who may no more is let go") {
  const secret_file file{"echo"};
  broker_by_hand b{{}, file.settings()};
  const auto hears = [&](std::string_view fields) {
    const auto c = b.connect_http();
    c->says(get("/events", fields));
    b.read(c);
    return c;
  };
  CHECK(hears({})->told().starts_with("HTTP/1.1 401"));
  CHECK(hears(with_token)->told().starts_with("HTTP/1.1 403"));
  file.allow("@status");
  REQUIRE(b.clients.load_access(b.now));
  const auto seer = hears(with_token);
  CHECK(last_event(seer->told(), "hello")["who"] == "who");
  CHECK(last_event(seer->told(), "hello")["may_act"] == false);
  REQUIRE(b.clients.load_access(b.now));
  pass_second(b);
  CHECK(count(seer->told(), "event: status\n") == 2);
  file.allow("echo");
  REQUIRE(b.clients.load_access(b.now));
  pass_second(b);
  CHECK(count(seer->told(), "event: status\n") == 2);
  CHECK(seer->is_finished());
}

TEST_CASE("of very many services and nodes those are shown that have most to do") {
  broker_report all;
  for (int i = 0; i < 1000; ++i) {
    service_report s;
    s.state.name = "s" + std::to_string(i);
    s.rates.over_1s.answered = 2;
    s.state.waiting = i % 2 == 0 ? static_cast<std::uint64_t>(i) : 0;
    all.services.push_back(s);
    node_report n;
    n.name = "n" + std::to_string(i);
    n.in_flight = static_cast<std::uint64_t>(i);
    all.nodes.push_back(n);
  }
  const auto said = last_event(status_event(all), "status");
  CHECK(said["services"].size() == max_shown_services);
  CHECK(said["services_left_out"] == 900);
  CHECK(said["nodes_left_out"] == 900);
  CHECK(said["all_rates"]["1s"]["answered"] == 2000);
  for (const auto& one : said["services"]) CHECK(one["waiting"] >= 800);
  for (const auto& one : said["nodes"]) CHECK(one["in_flight"] >= 900);
  all.services.resize(10);
  all.nodes.resize(10);
  for (int i = 0; i < 60; ++i) {
    client_report c;
    c.id = std::to_string(i);
    all.clients.push_back(c);
  }
  const auto clients = last_event(status_event(all), "status")["clients"];
  REQUIRE(clients.size() == max_shown_clients);
  CHECK(clients[49]["id"] == "49");
  all.clients.clear();
  CHECK_FALSE(last_event(status_event(all), "status").contains("services_left_out"));
}

// -- what may be done -------------------------------------------------------------------------------

TEST_CASE(
    "a node is drained and a service paused by POST, and whoever asked is told what was done") {
  broker_by_hand b;
  add_numbers(b, "a/b", "left");
  const auto c = b.connect_http();
  c->says(post_to("/v1/drain/left", {}) + post_to("/v1/pause/a%2Fb", {}) +
          post_to("/v1/undrain/left", {}) + post_to("/v1/resume/a/b", {}));
  b.read(c);
  CHECK(count(c->told(), "HTTP/1.1 200 OK\r\n") == 4);
  CHECK(c->was_told("{\"done\":\"node left is drained: it finishes what it has"));
  CHECK(c->was_told("{\"done\":\"service a/b is paused: "));
  const auto done = b.clients.statuses().take_actions();
  REQUIRE(done.size() == 4);
  CHECK(done[0].verb == operator_verb::drain);
  CHECK(done[0].target == "gateway of left");
  CHECK(done[1].verb == operator_verb::pause);
  CHECK(done[1].target == "a/b");
  CHECK(done[2].verb == operator_verb::undrain);
  CHECK(done[3].verb == operator_verb::resume);
  CHECK(b.clients.statuses().take_actions().empty());
}

TEST_CASE("nothing is done to who is not there, by GET, or for a page of another site") {
  broker_by_hand b;
  add_numbers(b, "echo", "left");
  const auto said = [&](const std::string& request) {
    const auto c = b.connect_http();
    c->says(request);
    b.read(c);
    return c->told();
  };
  CHECK(said(post_to("/v1/drain/right", {})).starts_with("HTTP/1.1 404"));
  CHECK(count(said(post_to("/v1/drain/right", {})), "there is no node right") == 1);
  CHECK(said(post_to("/v1/pause/none", {})).starts_with("HTTP/1.1 404"));
  CHECK(said(post_to("/v1/drain/", {})).starts_with("HTTP/1.1 404"));
  CHECK(said(get("/v1/drain/left")).starts_with("HTTP/1.1 405"));
  CHECK(said(post_to("/v1/drain/left", {}, "Origin: https://evil.example\r\n"))
            .starts_with("HTTP/1.1 403"));
  CHECK(said(post_to("/v1/drain/left", {}, "Sec-Fetch-Site: cross-site\r\n"))
            .starts_with("HTTP/1.1 403"));
  CHECK(said("POST /v1/drain/left HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n")
            .starts_with("HTTP/1.1 421"));
  CHECK(b.clients.statuses().take_actions().empty());
  CHECK(said(post_to("/v1/drain/left", {}, "Origin: http://localhost\r\n"))
            .starts_with("HTTP/1.1 200"));
  CHECK(b.clients.statuses().take_actions().size() == 1);
}

TEST_CASE("of several nodes of one name the one is drained that was meant") {
  broker_by_hand b;
  add_numbers(b, "echo", "left");
  add_numbers(b, "other", "left");
  b.numbers.nodes[0].address = b.numbers.nodes[1].address = "10.0.0.1";
  b.numbers.nodes[0].pid = 1;
  b.numbers.nodes[1].pid = 2;
  b.numbers.nodes[1].gateway = "the second";
  const auto c = b.connect_http();
  c->says(post_to("/v1/drain/left", {}) + post_to("/v1/drain/left@10.0.0.1:2", {}));
  b.read(c);
  CHECK(c->was_told("several nodes are named left"));
  const auto done = b.clients.statuses().take_actions();
  REQUIRE(done.size() == 1);
  CHECK(done[0].target == "the second");
}

TEST_CASE("to see and to act are two rights, and all services are neither of the two") {
  const secret_file file{"@status"};
  broker_by_hand b{{}, file.settings()};
  add_numbers(b, "echo", "left");
  const auto status_of = [&](const std::string& rights, const std::string& request) {
    file.allow(rights);
    REQUIRE(b.clients.load_access(b.now));
    const auto c = b.connect_http();
    c->says(request);
    b.read(c);
    return c->told().substr(9, 3);
  };
  const auto drain = post_to("/v1/drain/left", {}, with_token);
  const auto see = get("/metrics", with_token);
  CHECK(status_of("@status", drain) == "403");
  CHECK(status_of("*", drain) == "403");
  CHECK(status_of("echo", drain) == "403");
  CHECK(status_of("*", post_to("/v1/drain/left", {})) == "401");
  CHECK(b.clients.statuses().take_actions().empty());
  CHECK(status_of("@admin", drain) == "200");
  CHECK(status_of("@admin", see) == "403");
  CHECK(status_of("@admin", post_to("/v1/services/echo", "x", with_token)) == "403");
  CHECK(status_of("*,@admin", drain) == "200");
  CHECK(status_of("*,@admin", see) == "200");
  CHECK(status_of("@status,@admin", see) == "200");
  CHECK(b.clients.statuses().take_actions().size() == 2);
}
