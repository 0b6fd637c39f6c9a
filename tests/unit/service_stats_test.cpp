#include "actors/dispatch/dispatcher.hpp"
#include "tests/catch.hpp"
#include "tests/matches.hpp"

#include <map>

using namespace ropewalk;
using namespace std::chrono_literals;

/// What the dispatcher counts of its services.

namespace {

struct counted {
  counted() { client = d.connect(); }

  void submit(std::uint64_t id, const std::string& service, std::string_view key = {},
              std::size_t bytes = 8, std::optional<milliseconds> timeout = {}) {
    submission what;
    what.connection = client;
    what.request_id = id;
    what.service = d.service_named(service);
    what.payload = shared_bytes::copy_of(std::string(bytes, 'x'));
    what.key = key;
    what.timeout = timeout;
    d.submit(what, now);
    take();
  }

  void take() {
    d.take_placed([&](node_number node, token which, const request& r, std::uint16_t) {
      last[r.client_id] = {node, which, r.fence};
    });
  }

  void complete(std::uint64_t id, microseconds ran, answer_facts what = {}) {
    const auto& l = last.at(id);
    REQUIRE(d.complete(l.node, l.request, l.fence, ran, now, what));
    take();
  }

  service_report of(const std::string& name) {
    for (auto& one : d.services(now))
      if (one.state.name == name) return one;
    FAIL("there is no service " + name);
    return {};
  }

  struct where {
    node_number node;
    token request;
    std::uint32_t fence;
  };

  dispatcher d{{}, instant{}, 1};
  connection_id client;
  instant now{1h};
  std::map<std::uint64_t, where> last;
};

std::uint64_t errors(const service_report& of, error_code code) {
  return of.counts.errors[static_cast<std::size_t>(code)];
}

} // namespace

TEST_CASE("what waits, runs and is free of a service is counted, and how long the oldest waits") {
  counted c;
  const auto node = c.d.join({{"a", 3}, {"b", 1}}, c.now);
  for (std::uint64_t id = 1; id <= 2; ++id) c.submit(id, "a");
  auto a = c.of("a");
  CHECK(a.state.nodes == 1);
  CHECK(a.state.slots == 3);
  CHECK(a.state.slots_busy == 2);
  CHECK(a.state.in_flight == 2);
  CHECK(a.state.waiting == 0);
  CHECK(a.state.oldest_waiting_seconds == 0);
  CHECK(c.of("b").state.slots_busy == 0);
  c.d.set_slots(node, 0, 1, c.now);
  CHECK(c.of("a").state.slots_failing == 2);
  c.d.set_failing(node, 1, true, c.now);
  CHECK(c.of("b").state.slots_failing == 1);
}

TEST_CASE(
    "a service without a node is there as long as something waits for it, behind a key, too") {
  counted c;
  c.submit(1, "none", "key");
  c.now += 2s;
  c.submit(2, "none", "key");
  c.submit(3, "none");
  c.now += 3s;
  auto none = c.of("none");
  CHECK(none.state.nodes == 0);
  CHECK(none.state.waiting == 3);
  CHECK(about(none.state.oldest_waiting_seconds, 5));
  c.d.cancel(c.client, 1, c.now);
  none = c.of("none");
  CHECK(none.state.waiting == 2);
  CHECK(about(none.state.oldest_waiting_seconds, 3));
  CHECK(errors(none, error_code::cancelled) == 1);
}

TEST_CASE("what waits only behind a key is as old as it is while its first runs") {
  counted c;
  c.d.join({{"a", 1}}, c.now);
  c.submit(1, "a", "key");
  c.submit(2, "a", "key");
  c.now += 4s;
  CHECK(c.of("a").state.waiting == 1);
  CHECK(about(c.of("a").state.oldest_waiting_seconds, 4));
}

TEST_CASE("time waiting and time running are time in all, whatever the node's clock says") {
  counted c;
  const auto node = c.d.join({{"a", 1}}, c.now);
  c.submit(1, "a", {}, 100);
  c.now += 3ms;
  c.complete(1, 1ms, {40, error_code::ok});
  c.submit(2, "a", {}, 10);
  c.now += 1ms;
  c.complete(2, 5ms, {2, error_code::failed}); // it cannot have run for longer than it was there
  const auto a = c.of("a");
  CHECK(a.state.answered == 2);
  CHECK(a.counts.submitted == 2);
  CHECK(a.counts.bytes_in == 110);
  CHECK(a.counts.bytes_out == 42);
  CHECK(errors(a, error_code::failed) == 1);
  CHECK(c.d.view(node).answered == 2);
  CHECK(c.d.view(node).failed == 1);
  CHECK(a.counts.total.sum_ns == 4'000'000);
  CHECK(a.counts.running.sum_ns == 6'000'000);
  CHECK(a.counts.waiting.sum_ns == 2'000'000);
  CHECK(a.counts.waiting.count() == 2);
}

TEST_CASE("retries, what was placed again, what came back and what ran out of time are counted "
          "where they happen") {
  counted c;
  const auto first = c.d.join({{"a", 1}, {"b", 1}}, c.now);
  c.submit(1, "a");
  auto at = c.last.at(1);
  c.d.crash(at.node, at.request, at.fence, "signal 11", c.now);
  c.take();
  CHECK(c.of("a").counts.retries == 1);
  CHECK(c.of("a").counts.redispatched == 1);
  at = c.last.at(1);
  c.d.give_back(at.node, at.request, at.fence, c.now);
  CHECK(c.of("a").counts.returned == 1);
  CHECK(c.of("a").state.waiting == 1);
  c.submit(2, "b", {}, 8, 100ms);
  c.now += 200ms;
  c.d.advance(c.now);
  CHECK(errors(c.of("b"), error_code::timeout) == 1);
  c.d.lose(first, "gone", c.now);
  // Errors are where the totals have them.
  std::uint64_t all = 0;
  for (const auto& one : c.d.services(c.now)) all += errors(one, error_code::timeout);
  CHECK(all == c.d.totals().refused[static_cast<std::size_t>(error_code::timeout)]);
  CHECK(c.d.totals().redispatched == c.of("a").counts.redispatched + c.of("b").counts.redispatched);
}
