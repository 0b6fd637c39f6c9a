#include "actors/node/run_queue.hpp"
#include "actors/node/start_lease.hpp"
#include "actors/time/broker_clock.hpp"
#include "tests/catch.hpp"

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

// A node that has just joined, and its clock.
struct fresh_node {
  fresh_node() { lease.attach(0, now); }

  // It runs for so long, and its broker answers or does not.
  void run(milliseconds how_long, bool confirmed) {
    for (const auto end = now + how_long; now < end; now += start_lease::beat_interval)
      if (lease.beat(now) && confirmed) lease.confirmed(0, now);
  }

  instant now = instant{} + 1h;
  start_lease lease;
};

} // namespace

TEST_CASE("a node starts nothing before it is a member anywhere") {
  start_lease lease;
  REQUIRE_FALSE(lease.allows(instant{} + 1h));
  (void)lease.beat(instant{} + 1h);
  REQUIRE_FALSE(lease.allows(instant{} + 1h));
}

TEST_CASE("a node that runs and is confirmed starts what it has, however long") {
  fresh_node n;
  REQUIRE(n.lease.allows(n.now));
  n.run(1min, true);
  REQUIRE(n.lease.allows(n.now));
  n.lease.detach(0);
  REQUIRE_FALSE(n.lease.allows(n.now));
}

TEST_CASE("a node that stood still starts nothing until it has asked and was answered since") {
  fresh_node n;
  n.run(1s, true);
  const auto before = n.now;
  n.now += 600ms;
  REQUIRE_FALSE(n.lease.allows(n.now)); // a slot may run before the beat
  REQUIRE(n.lease.beat(n.now));
  REQUIRE_FALSE(n.lease.allows(n.now));
  n.lease.confirmed(0, before); // was on its way when the node stopped
  REQUIRE_FALSE(n.lease.allows(n.now));
  n.lease.confirmed(0, n.now);
  REQUIRE(n.lease.allows(n.now));
}

TEST_CASE("a node that hears nothing from its broker stops starting before it is given up") {
  fresh_node n;
  n.run(1s, true);
  n.run(start_lease::length - 600ms, false);
  REQUIRE(n.lease.allows(n.now));
  n.run(600ms, false);
  REQUIRE_FALSE(n.lease.allows(n.now));
  n.run(1s, true);
  REQUIRE(n.lease.allows(n.now));
}

TEST_CASE("every shard must have confirmed a node, and one that was left does not count") {
  fresh_node n;
  n.lease.attach(1, n.now);
  n.run(4s, true); // shard 0 alone answers
  REQUIRE_FALSE(n.lease.allows(n.now));
  n.lease.detach(1);
  REQUIRE(n.lease.allows(n.now));
}

TEST_CASE("a node whose machine has slept asks first") {
  fresh_node n;
  n.run(1s, true);
  n.lease.lapse();
  REQUIRE_FALSE(n.lease.allows(n.now));
  REQUIRE(n.lease.beat(n.now));
  REQUIRE_FALSE(n.lease.allows(n.now));
  n.lease.confirmed(0, n.now);
  REQUIRE(n.lease.allows(n.now));
}

TEST_CASE("slots leave what waits alone while nothing may be started") {
  auto lease = std::make_shared<start_lease>();
  run_queue queue{1, lease};
  const auto seat = queue.take_seat(0, leader_id::first_enlisted);
  const auto now = instant{} + 1h;
  work_item item;
  item.token = 1;
  item.remaining_ms = 1000;
  (void)queue.push(0, std::span{&item, 1}, now, now);
  run_queue::job job;
  REQUIRE_FALSE(queue.next(*seat, now, job));
  REQUIRE(queue.count().waiting == 1);
  lease->attach(0, now);
  REQUIRE(queue.rouse().size() == 1); // it was idle
  REQUIRE(queue.next(*seat, now, job));
}

TEST_CASE("slots that run long for one shard are none to another") {
  run_queue queue{2};
  const auto seat = queue.take_seat(0, leader_id::first_enlisted);
  const auto now = instant{} + 1h;
  work_item item;
  item.token = 1;
  item.remaining_ms = 1000;
  (void)queue.push(1, std::span{&item, 1}, now, now);
  run_queue::job job;
  REQUIRE(queue.next(*seat, now, job));
  REQUIRE(queue.held_by_others(0, now + run_queue::long_run - 1ms) == 0);
  REQUIRE(queue.held_by_others(0, now + run_queue::long_run) == 1);
  REQUIRE(queue.held_by_others(1, now + run_queue::long_run) == 0);
}

TEST_CASE("what was long on its way is known to be, whatever the other clock says") {
  broker_clock clock;
  const auto here = instant{} + 1h;
  auto theirs = [&](instant at) { // five days ahead
    return static_cast<std::uint64_t>(broker_clock::in_us(at + 120h));
  };
  REQUIRE(clock.age(theirs(here), here) == 0us); // nothing is known
  clock.heard(theirs(here), here + 300us);
  clock.heard(theirs(here + 1s), here + 1s + 100us); // the quickest
  clock.heard(theirs(here + 2s), here + 2s + 900us);
  REQUIRE(clock.age(theirs(here + 3s), here + 4s) == 1s - 100us);
  REQUIRE(clock.age(theirs(here + 3s), here + 3s + 50us) == 0us);
  // Their clock goes slower by a thousandth: that is followed.
  for (int s = 5; s < 300; ++s) {
    const auto at = here + std::chrono::seconds{s};
    clock.heard(theirs(at - milliseconds{s}), at + 100us);
  }
  const auto at = here + 300s;
  REQUIRE(clock.age(theirs(at - 300ms), at + 1s) > 900ms);
}
