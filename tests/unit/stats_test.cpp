#include "actors/stats/broker_report.hpp"
#include "actors/stats/histogram.hpp"
#include "tests/catch.hpp"
#include "tests/matches.hpp"

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>

using namespace ropewalk;

namespace {

service_report service(std::string name, std::uint64_t waiting, double oldest) {
  service_report result;
  result.state.name = std::move(name);
  result.state.waiting = waiting;
  result.state.oldest_waiting_seconds = oldest;
  result.state.slots = 2;
  result.state.slots_busy = 1;
  result.counts.submitted = 10;
  result.counts.errors[static_cast<int>(error_code::failed)] = 1;
  result.counts.total.record(1'000'000);
  return result;
}

// What a status had before there were services in it.
std::string apart_from_services(const broker_report& of) {
  auto all = nlohmann::json::parse(of.json());
  for (const auto* part : {"process", "services", "loop_lag", "version", "incoming_bytes",
                           "unread_bytes", "request_memory_bytes", "answer_memory_bytes",
                           "certificates", "clients", "more_clients", "rates", "memory"})
    all.erase(part);
  return all.dump();
}

broker_report first_shard() {
  broker_report r;
  r.nodes.push_back({"n\xff", "10.0.0.1:9", {"a", "b"}, 2, 5, 7, 3});
  r.nodes.front().failed = 4;
  r.requests.placed = 2;
  r.requests.waiting = 3;
  r.requests.redispatched = 5;
  r.requests.returned = 6;
  r.requests.submitted = 70;
  r.requests.admitted = 68;
  r.requests.answered = 60;
  r.requests.refused[static_cast<int>(error_code::busy)] = 2;
  r.requests.stale = 8;
  r.requests.held_bytes = 9;
  r.front.restarts = 4;
  r.front.connections = 10;
  r.front.rejected = 11;
  r.front.cut_off = 2;
  r.front.uptime_seconds = 1.5;
  r.front.pid = 4242;
  r.services.push_back(service("a", 3, 2.5));
  r.shards.push_back({10, 2, 3, 60, 1});
  return r;
}

broker_report second_shard() {
  broker_report r;
  r.nodes.push_back({"n\xff", "10.0.0.1:9", {"a", "b"}, 1, 1, 7, 3});
  r.nodes.front().drained = true; // the other shard has yet to hear of it
  r.nodes.front().failed = 1;
  r.nodes.push_back({"m", "10.0.0.2:9", {"a"}, 0, 0, 8, 1});
  r.requests.placed = 1;
  r.requests.refused[static_cast<int>(error_code::busy)] = 1;
  r.requests.refused[static_cast<int>(error_code::timeout)] = 1;
  r.front.connections = 1;
  r.front.uptime_seconds = 2.25;
  r.front.pid = 4242;
  r.front.draining = true;
  r.services.push_back(service("b", 1, 0));
  r.services.push_back(service("a", 4, 7));
  r.shards.push_back({1, 1, 0, 0, 0});
  return r;
}

template <class T>
void require_different_names(std::set<std::string_view> names = {}) {
  stats::for_each_field<T>([&](const auto& f) {
    INFO(f.name);
    REQUIRE(names.insert(f.name).second);
  });
}

} // namespace

TEST_CASE("a status without anything in it has all of its numbers all the same") {
  broker_report r;
  r.front.pid = 4618;
  REQUIRE(
      apart_from_services(r) ==
      R"({"answered":0,"connections":0,"cut_off":0,"draining":false,"held_bytes":0,"in_flight":0,)"
      R"("nodes":[],"pid":4618,"queued":0,"redispatched":0,"refused":{},"restarts":0,)"
      R"("returned":0,"shards":[],"stale_answers":0,"submitted":0,"traces_dropped":0,)"
      R"("traces_exported":0,"turned_away":0,"uptime_seconds":0.0})");
}

TEST_CASE("the shards' numbers are the broker's, each added up in its own way, and a node that two "
          "shards know is one") {
  auto r = first_shard();
  r.add(second_shard());
  REQUIRE(apart_from_services(r) ==
          R"({"answered":60,"connections":11,"cut_off":2,"draining":true,"held_bytes":9,)"
          R"("in_flight":3,)"
          R"("nodes":[{"address":"10.0.0.2:9","answered":0,"drained":false,"failed":0,)"
          R"("in_flight":0,"label":"m","name":"m","pid":8,"services":["a"],"slots":1},)"
          R"({"address":"10.0.0.1:9","answered":6,"drained":true,"failed":5,"in_flight":3,)"
          R"("label":"n)"
          "\xef\xbf\xbd"
          R"(","name":"n)"
          "\xef\xbf\xbd"
          R"(","pid":7,"services":["a","b"],"slots":3}],"pid":4242,"queued":3,)"
          R"("redispatched":5,"refused":{"BUSY":3,"TIMEOUT":1},"restarts":4,"returned":6,)"
          R"("shards":[{"answered":0,"connections":1,"in_flight":1,"queued":0,"shard":0},)"
          R"({"answered":60,"connections":10,"in_flight":2,"queued":3,"shard":1}],)"
          R"("stale_answers":8,"submitted":70,"traces_dropped":0,"traces_exported":0,)"
          R"("turned_away":11,"uptime_seconds":2.25})");
}

TEST_CASE(
    "a service that two shards know is one: what it has adds up, and the oldest is the older") {
  auto r = first_shard();
  r.add(second_shard());
  const auto services = nlohmann::json::parse(r.json())["services"];
  REQUIRE(services.size() == 2);
  const auto& a = services[0];
  CHECK(a["name"] == "a");
  CHECK(a["waiting"] == 7);
  CHECK(a["oldest_waiting_seconds"] == 7.0);
  CHECK(a["slots"] == 2); // the nodes join every shard with all of them
  CHECK(a["slots_busy"] == 2);
  CHECK(a["submitted"] == 20);
  CHECK(a["errors"]["FAILED"] == 2);
  CHECK(a["time_in_all"]["count"] == 2);
  CHECK(about(a["time_in_all"]["sum_seconds"].get<double>(), 0.002));
  CHECK(services[1]["name"] == "b");
}

TEST_CASE("durations by powers of two: counts below a bound are exact, quantiles within a bucket") {
  latency_histogram h;
  CHECK(h.quantile(0.5) == 0);
  h.record(0);
  h.record(1023);
  h.record(1024);
  h.record(std::uint64_t{3600} * 1'000'000'000);
  h.record(~std::uint64_t{0});
  CHECK(h.count() == 5);
  latency_histogram even;
  for (std::uint64_t us = 1; us <= 1000; ++us) even.record(us * 1000);
  CHECK(even.sum_ns == 500'500'000);
  CHECK(even.quantile(0.5) > 400e-6);
  CHECK(even.quantile(0.5) < 600e-6);
  CHECK(even.quantile(1) <= 1049e-6);
}

TEST_CASE("it does not matter in which order shards answer") {
  auto one = first_shard();
  one.add(second_shard());
  auto other = second_shard();
  other.add(first_shard());
  std::swap(other.nodes[0], other.nodes[1]);
  std::swap(other.services[0], other.services[1]);
  std::sort(one.nodes.begin(), one.nodes.end(), [](auto& a, auto& b) { return a.pid < b.pid; });
  std::sort(other.nodes.begin(), other.nodes.end(), [](auto& a, auto& b) { return a.pid < b.pid; });
  REQUIRE(one.json() == other.json());
}

TEST_CASE("a number that only the code reads is not in the status") {
  REQUIRE(first_shard().json().find("admitted") == std::string::npos);
}

TEST_CASE("no two numbers of a report have the same name") {
  require_different_names<node_report>();
  require_different_names<shard_report>();
  require_different_names<front_totals>();
  require_different_names<process_numbers>();
  require_different_names<client_report>();
  require_different_names<certificate_report>();
  require_different_names<rates>();
  std::set<std::string_view> of_service{"rates"};
  stats::for_each_field<service_state>([&](const auto& f) { of_service.insert(f.name); });
  require_different_names<service_counts>(of_service);
  std::set<std::string_view> of_front{"nodes",   "shards",       "services", "process",
                                      "clients", "more_clients", "rates",    "memory"};
  stats::for_each_field<front_totals>([&](const auto& f) { of_front.insert(f.name); });
  require_different_names<dispatch_totals>(of_front);
}

TEST_CASE("what only grows is summed up, and a label never is") {
  const auto look = [](const auto& f) {
    INFO(f.name);
    if (f.kind == stats::kind::counter) REQUIRE(f.merge == stats::merge::sum);
    if (f.kind == stats::kind::label) REQUIRE(f.merge == stats::merge::keep);
  };
  stats::for_each_field<dispatch_totals>(look);
  stats::for_each_field<front_totals>(look);
  stats::for_each_field<node_report>(look);
  stats::for_each_field<service_state>(look);
  stats::for_each_field<service_counts>(look);
}

namespace {

struct one_too_many {
  std::uint64_t known = 0;
  std::uint64_t forgotten = 0;
  static constexpr auto fields() {
    return std::tuple{stats::described{"known", &one_too_many::known}};
  }
};
static_assert(!stats::all_described<one_too_many>());

} // namespace

TEST_CASE("a histogram's quantiles are exact below 128 ns and within a hundredth above") {
  histogram h;
  for (std::uint64_t ns = 1; ns <= 100; ++ns) h.record(ns);
  REQUIRE(h.quantile(0.5) == 50);
  REQUIRE(h.quantile(1) == 100);
  histogram slow;
  for (int i = 0; i < 100; ++i) slow.record(1'000'000);
  REQUIRE(slow.quantile(0.5) >= 1'000'000);
  REQUIRE(slow.quantile(0.5) <= 1'010'000);
  slow.add(h);
  REQUIRE(slow.count() == 200);
  REQUIRE(slow.max() == 1'000'000);
}

TEST_CASE("nodes of one name have labels of their own, and all others have their names") {
  broker_report r;
  r.nodes = {{"left", "a", {}, 0, 0, 7, 1, "1"},
             {"right", "a", {}, 0, 0, 8, 1, "2"},
             {"left", "b", {}, 0, 0, 7, 1, "3"},
             {"left", "a", {}, 0, 0, 7, 1, "4"}}; // in a container of its own
  std::vector<std::string> labels;
  for (const auto& n : r.labelled_nodes()) labels.push_back(n.label);
  CHECK(labels == std::vector<std::string>{"left@a:7", "left@a:7#2", "left@b:7", "right"});
  CHECK(r.json().find(R"("label":"left@a:7#2")") != std::string::npos);
  CHECK(r.json().find("gateway") == std::string::npos);
  broker_report other_shard;
  other_shard.nodes = {{"left", "a", {}, 1, 0, 7, 1, "4"}, {"left", "b", {}, 2, 0, 7, 1, "3"}};
  r.add(other_shard); // each is found again, whatever it calls itself
  REQUIRE(r.nodes.size() == 4);
  CHECK(r.nodes[0].in_flight == 0);
  CHECK(r.nodes[2].in_flight == 2);
  CHECK(r.nodes[3].in_flight == 1);
}
