#include "actors/admin/metrics.hpp"
#include "actors/broker/sessions/visible_report.hpp"
#include "tests/unit/broker_by_hand.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

using namespace ropewalk;

/// What is said of the clients that are connected, one by one.

namespace {

std::vector<client_report> listed(const broker_by_hand& b) {
  return b.clients.list(3, b.now);
}

} // namespace

TEST_CASE("a client is listed with what it asked, what waits, and what it has sent and taken") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect();
  CHECK(listed(b).at(0).protocol.empty());
  for (std::uint64_t id = 1; id <= 3; ++id) c->asks(id, "echo", "12345");
  b.read(c);
  b.answer_next("fine");
  b.now += 2s;
  const auto one = listed(b).at(0);
  CHECK(one.id.starts_with("3."));
  CHECK(one.address == "192.0.2.1");
  CHECK(one.who.empty());
  CHECK(one.protocol == "frames");
  CHECK(one.state == "open");
  CHECK(one.requests == 3);
  CHECK(one.in_flight == 2);
  CHECK(one.bytes_in == 3 * (16 + 6 + 5));
  CHECK(one.bytes_out == c->told().size());
  CHECK(one.unread_bytes == 0);
  CHECK(one.age_seconds == 2);
  CHECK(one.idle_seconds == 2);
  CHECK_FALSE(one.paused);
  c->closes_its_half();
  b.read(c);
  CHECK(listed(b).at(0).state == "half closed");
  b.lose(c);
  CHECK(listed(b).empty());
}

TEST_CASE("a client that takes no answers is listed first, with what it leaves and that it waits") {
  broker_tuning limits;
  limits.unread_answers = 65'536;
  broker_by_hand b{limits};
  b.add_node("echo", 8);
  const auto quiet = b.connect();
  const auto slow = b.connect();
  slow->takes(0);
  slow->asks(1, "echo");
  b.read(slow);
  b.answer_next(std::string(100'000, 'x'));
  const auto all = listed(b);
  REQUIRE(all.size() == 2);
  CHECK(all[0].unread_bytes == 100'016);
  CHECK(all[0].paused);
  CHECK(all[0].bytes_out == 0);
  CHECK(all[1].unread_bytes == 0);
}

TEST_CASE("lines and HTTP are named, and HTTP has its requests counted, too") {
  broker_by_hand b;
  b.add_node("echo", 8);
  const auto lines = b.connect();
  lines->says("echo hello\n");
  b.read(lines);
  CHECK(listed(b).at(0).protocol == "lines");
  b.lose(lines);
  const auto http = b.connect_http();
  const std::string request = "POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\n"
                              "Content-Length: 2\r\n\r\nhi";
  http->says(request);
  b.read(http);
  const auto one = listed(b).at(0);
  CHECK(one.protocol == "http");
  CHECK(one.requests == 1);
  CHECK(one.in_flight == 1);
  CHECK(one.bytes_in == request.size());
}

TEST_CASE("of many clients those are listed that hold most, and how many more there are is said") {
  broker_by_hand b;
  b.add_node("echo", 1);
  std::vector<std::shared_ptr<fake_client>> all;
  for (std::size_t i = 0; i < max_listed_clients + 50; ++i) all.push_back(b.connect());
  const std::set<std::size_t> busy{0, 17, 249}; // the first and last to come among them
  for (const auto i : busy) {
    all[i]->asks(1, "echo");
    b.read(all[i]);
  }
  const auto first = listed(b);
  REQUIRE(first.size() == max_listed_clients);
  CHECK(std::count_if(first.begin(), first.begin() + 3,
                      [](const client_report& one) { return one.in_flight == 1; }) == 3);
  std::set<std::string> ids;
  for (const auto& one : first) ids.insert(one.id);
  CHECK(ids.size() == first.size());
  broker_report report;
  report.clients = first;
  report.front.connections = b.clients.size();
  auto other_shard = report;
  for (auto& one : other_shard.clients) one.unread_bytes = 1;
  report.add(other_shard);
  CHECK(report.clients.size() == max_listed_clients);
  CHECK(report.clients[0].unread_bytes == 1);
  const auto json = nlohmann::json::parse(report.json());
  CHECK(json["clients"].size() == max_listed_clients);
  CHECK(json["more_clients"] == 300);
}

TEST_CASE("who sees some services sees no clients, and no metric names one") {
  broker_report all;
  auto& one = all.clients.emplace_back();
  one.address = "198.51.100.7";
  one.who = "somebody";
  all.front.connections = 1;
  service_report busy;
  busy.state.name = "echo";
  busy.rates.over_1s.submitted = 4321;
  all.services.push_back(busy);
  ropewalk::access who;
  who.services = {"echo"};
  const auto seen = visible_to(who, all).json();
  for (const auto* hidden : {"198.51.100.7", "somebody", "4321"}) {
    CHECK(seen.find(hidden) == std::string::npos);
    CHECK(metrics_text(all).find(hidden) == std::string::npos);
    CHECK(all.json().find(hidden) != std::string::npos);
  }
  CHECK(nlohmann::json::parse(seen)["more_clients"] == 0);
}
