#include "actors/stats/load_history.hpp"
#include "tests/catch.hpp"

#include <cmath>

using namespace ropewalk;
using namespace std::chrono_literals;

/// The hour behind the page's charts.

namespace {

using clock_point = load_history::clock::time_point;
const clock_point start{1h};

// Totals after so many answers, of a millisecond each.
load_totals after(std::uint64_t answered, std::uint64_t errors = 0) {
  load_totals result;
  result.answered = answered;
  result.errors = errors;
  for (std::uint64_t i = 0; i < answered; ++i) result.total.record(1'000'000);
  return result;
}

} // namespace

TEST_CASE("a point of the history is what came in its five seconds, as rates and percentiles") {
  load_history h;
  h.record(0, {}, start);
  for (int second = 1; second <= 4; ++second) h.record(0, after(10 * second), start + 1s * second);
  CHECK(h.count() == 0);
  auto now = after(100, 5);
  now.waiting = 7;
  now.in_flight = 3;
  h.record(0, now, start + 5s);
  REQUIRE(h.count() == 1);
  const auto p = h.since(0).list.front();
  CHECK(p.answered_per_second == 20);
  CHECK(p.errors_per_second == 1);
  CHECK(p.waiting == 7);
  CHECK(p.in_flight == 3);
  CHECK(p.p50_seconds > 0.0005);
  CHECK(p.p99_seconds < 0.0011);
  // Of the next one only what is new counts.
  h.record(0, after(100, 5), start + 10s);
  const auto next = h.since(1).list;
  REQUIRE(next.size() == 1);
  CHECK(next[0].answered_per_second == 0);
  CHECK(next[0].p99_seconds == 0);
}

TEST_CASE("the history adds up the shards, each as it comes") {
  load_history h{2};
  h.record(0, {}, start);
  h.record(1, {}, start + 100ms);
  auto first = after(50);
  first.waiting = 1;
  auto second = after(150);
  second.waiting = 2;
  h.record(1, second, start + 4s);
  h.record(0, first, start + 5s);
  REQUIRE(h.count() == 1);
  CHECK(h.since(0).list[0].answered_per_second == 40);
  CHECK(h.since(0).list[0].waiting == 3);
}

TEST_CASE("a shard that begins anew begins at zero in the history, and never below") {
  load_history h;
  h.record(0, after(1000, 10), start);
  h.record(0, after(1000, 10), start + 5s);
  h.record(0, after(20, 1), start + 10s); // its front fell in between
  const auto points = h.since(1).list;
  REQUIRE(points.size() == 1);
  CHECK(points[0].answered_per_second == 4);
  CHECK(std::abs(points[0].errors_per_second - 0.2) < 1e-9);
}

TEST_CASE("who was late has one longer point, with the rates of all that time") {
  load_history h;
  h.record(0, {}, start);
  h.record(0, after(600), start + 60s); // the machine was paused
  REQUIRE(h.count() == 1);
  CHECK(h.since(0).list[0].answered_per_second == 10);
}

TEST_CASE("the history is an hour long, whoever asks for more, and its points keep their numbers") {
  load_history h;
  h.record(0, {}, start);
  for (std::size_t i = 1; i <= load_history::capacity + 100; ++i)
    h.record(0, after(0), start + i * load_history::interval);
  CHECK(h.count() == load_history::capacity + 100);
  const auto all = h.since(0).list;
  REQUIRE(all.size() == load_history::capacity);
  CHECK(all.front().at == start + 101 * load_history::interval);
  CHECK(all.back().at == start + h.count() * load_history::interval);
  CHECK(h.since(h.count()).list.empty());
  CHECK(h.since(h.count() - 1).list.size() == 1);
  CHECK(h.since(h.count() + 5).list.empty());
  CHECK(h.since(0).next == h.count());
}
