#include "actors/node/run_queue.hpp"
#include "tests/catch.hpp"

#include <set>
#include <thread>

using namespace ropewalk;

namespace {

const instant now = std::chrono::steady_clock::now();

work_item item(std::uint64_t token, std::uint32_t fence = 1) {
  work_item result;
  result.token = token;
  result.fence = fence;
  result.remaining_ms = 1000;
  return result;
}

std::vector<work_item> items(std::uint64_t first, std::uint64_t count) {
  std::vector<work_item> result;
  for (std::uint64_t i = 0; i < count; ++i) result.push_back(item(first + i));
  return result;
}

answer_item answer_to(const run_queue::job& job, std::uint32_t run_us = 1) {
  answer_item result;
  result.token = job.item.token;
  result.fence = job.item.fence;
  result.run_us = run_us;
  return result;
}

std::optional<run_queue::job> next_of(run_queue& queue, run_queue::seat& seat) {
  run_queue::job job;
  if (!queue.next(seat, now, job)) return std::nullopt;
  return job;
}

// Who must be woken.
std::vector<std::uint32_t> push(run_queue& queue, run_queue::shard_number shard,
                                std::vector<work_item> what, instant at,
                                leader_id leader = leader_id::nobody) {
  const auto wake = queue.push(shard, what, at, at, leader);
  return {wake.begin(), wake.end()};
}

// As whom a slot leads.
leader_id leader_of(std::uint32_t slot) {
  return static_cast<leader_id>(static_cast<std::uint32_t>(leader_id::first_enlisted) + slot);
}

// What the slots are given when they start.
std::vector<std::shared_ptr<run_queue::seat>> seats_of(run_queue& queue) {
  std::vector<std::shared_ptr<run_queue::seat>> result;
  for (std::uint32_t i = 0; i < queue.slots(); ++i)
    result.push_back(queue.take_seat(i, leader_of(i)));
  return result;
}

} // namespace

TEST_CASE("idle slots are woken once, busy ones not at all") {
  run_queue queue{2};
  const auto seats = seats_of(queue);
  REQUIRE(push(queue, 0, items(1, 1), now) == std::vector<std::uint32_t>{0});
  REQUIRE(push(queue, 0, items(2, 5), now) == std::vector<std::uint32_t>{1});
  REQUIRE(push(queue, 0, items(7, 1), now).empty());
}

TEST_CASE("messages start in the order in which they came") {
  run_queue queue{3};
  const auto seats = seats_of(queue);
  push(queue, 0, items(1, 100), now);
  for (std::uint64_t i = 1; i <= 100; ++i) {
    const auto slot = static_cast<std::uint32_t>(i % 3);
    auto job = next_of(queue, *seats[slot]);
    REQUIRE(job->item.token == i);
    queue.finish(*seats[slot], answer_to(*job), now);
  }
  REQUIRE_FALSE(next_of(queue, *seats[0]));
}

TEST_CASE("the gateway is told of the first slow answer, and of more only after it fetched that") {
  run_queue queue{1};
  const auto seats = seats_of(queue);
  push(queue, 0, items(1, 3), now);
  auto job = next_of(queue, *seats[0]);
  REQUIRE(queue.finish(*seats[0], answer_to(*job, 100'000), now));
  job = next_of(queue, *seats[0]);
  REQUIRE_FALSE(queue.finish(*seats[0], answer_to(*job, 100'000), now));
  REQUIRE_FALSE(queue.take_answers(0).empty());
  job = next_of(queue, *seats[0]);
  REQUIRE(queue.finish(*seats[0], answer_to(*job, 100'000), now));
}

TEST_CASE("the last answer of a fast service is always told") {
  run_queue queue{1};
  const auto seats = seats_of(queue);
  push(queue, 0, items(1, 10), now);
  int told = 0;
  while (auto job = next_of(queue, *seats[0]))
    told += queue.finish(*seats[0], answer_to(*job), now) ? 1 : 0;
  REQUIRE(told == 1);
  REQUIRE(queue.fast());
}

TEST_CASE(
    "short messages wake no more slots than they are worth, until they turn out not to be short") {
  run_queue queue{3};
  const auto seats = seats_of(queue);
  push(queue, 0, items(1, 1), now);
  queue.finish(*seats[0], answer_to(*next_of(queue, *seats[0])), now);
  for (const auto& seat : seats) next_of(queue, *seat); // all idle
  REQUIRE(push(queue, 0, items(2, 20), now).size() == 1);
  REQUIRE(queue.rouse().size() == 2);
  REQUIRE(queue.rouse().empty());
}

TEST_CASE("a slot that looks by itself is not woken, and comes first") {
  run_queue queue{2};
  const auto seats = seats_of(queue);
  REQUIRE(push(queue, 0, items(1, 1), now, leader_of(1)).empty());
  REQUIRE(next_of(queue, *seats[1])->item.token == 1);
  REQUIRE(push(queue, 0, items(2, 1), now, leader_of(1)) == std::vector<std::uint32_t>{0});
}

TEST_CASE("a slot whose place another has taken gets nothing more, and its answer is not wanted") {
  run_queue queue{1};
  const auto old = queue.take_seat(0, leader_of(0));
  push(queue, 0, items(1, 2), now);
  const auto job = next_of(queue, *old);
  const auto seat = queue.take_seat(0, leader_of(1));
  REQUIRE(job->stop->load());
  REQUIRE_FALSE(queue.has_place(*old));
  REQUIRE(queue.slot_died(0)->attempt.token ==
          1); // as the gateway asks when the new one is announced
  REQUIRE(queue.slot_revived(0));
  REQUIRE_FALSE(queue.finish(*old, answer_to(*job), now));
  REQUIRE(queue.take_answers(0).empty());
  REQUIRE_FALSE(next_of(queue, *old));
  REQUIRE(next_of(queue, *seat)->item.token == 2);
}

TEST_CASE("a withdrawn message does not start, one that runs is told to stop") {
  run_queue queue{1};
  const auto seats = seats_of(queue);
  push(queue, 0, items(1, 2), now);
  const auto job = next_of(queue, *seats[0]);
  REQUIRE_FALSE(job->stop->load());
  REQUIRE(queue.withdraw(0, {{1, 1}}).empty());
  REQUIRE(job->stop->load());
  REQUIRE(queue.withdraw(0, {{2, 7}}).empty()); // another attempt's
  REQUIRE(queue.withdraw(0, {{2, 1}, {99, 1}}) == std::vector<attempt_ref>{{2, 1}});
  REQUIRE_FALSE(next_of(queue, *seats[0]));
}

TEST_CASE("what waits behind slots that do not come to an end can be taken back") {
  run_queue queue{2};
  const auto seats = seats_of(queue);
  push(queue, 0, items(1, 5), now);
  const auto first = next_of(queue, *seats[0]);
  const auto second = next_of(queue, *seats[1]);
  REQUIRE(queue.take_stalled(now + milliseconds{4}, milliseconds{5}).empty()); // not yet
  queue.finish(*seats[0], answer_to(*first), now + milliseconds{4});
  next_of(queue, *seats[0]);
  REQUIRE(
      queue.take_stalled(now + milliseconds{8}, milliseconds{5}).empty()); // one has ended since
  REQUIRE(queue.take_stalled(now + milliseconds{9}, milliseconds{5}).size() == 2);
  REQUIRE(queue.take_stalled(now + milliseconds{99}, milliseconds{5}).empty());
}

TEST_CASE("a slot that died gives up what it was running, and only that") {
  run_queue queue{2};
  const auto seats = seats_of(queue);
  push(queue, 0, items(1, 3), now);
  next_of(queue, *seats[0]);
  const auto lost = queue.slot_died(0);
  REQUIRE(lost->attempt.token == 1);
  REQUIRE_FALSE(queue.slot_died(0));
  REQUIRE(queue.count().waiting == 2);
  REQUIRE(queue.slot_revived(0)); // there is work for it
  REQUIRE(next_of(queue, *seats[0])->item.token == 2);
}

TEST_CASE("answers to a broker that is gone are dropped, what was running included") {
  run_queue queue{1};
  const auto seats = seats_of(queue);
  push(queue, 0, items(1, 3), now);
  const auto job = next_of(queue, *seats[0]);
  queue.forget(0);
  REQUIRE(job->stop->load());
  REQUIRE_FALSE(queue.finish(*seats[0], answer_to(*job), now));
  REQUIRE(queue.take_answers(0).empty());
  REQUIRE_FALSE(next_of(queue, *seats[0]));
}

TEST_CASE("shards share the slots, each gets its answers, and its going concerns nobody else") {
  run_queue queue{2};
  const auto seats = seats_of(queue);
  push(queue, 0, items(1, 2), now);
  push(queue, 1, items(1, 3), now); // the same tokens
  const auto a = next_of(queue, *seats[0]);
  const auto b = next_of(queue, *seats[1]);
  REQUIRE(queue.withdraw(1, {{1, 1}, {2, 1}}).size() == 2);
  REQUIRE_FALSE(a->stop->load());
  queue.finish(*seats[0], answer_to(*a), now);
  const auto of_one = next_of(queue, *seats[0]);
  REQUIRE(of_one->item.token == 3);
  REQUIRE_FALSE(queue.has_answers(1));
  REQUIRE(queue.has_answers(0));
  queue.forget(1);
  REQUIRE(of_one->stop->load());
  REQUIRE_FALSE(b->stop->load());
  REQUIRE(queue.count().running == 1); // that is wanted
  queue.finish(*seats[0], answer_to(*of_one), now);
  queue.finish(*seats[1], answer_to(*b), now);
  REQUIRE(queue.take_answers(1).empty());
  batch_reader reader{queue.take_answers(0).flat()};
  REQUIRE(reader.next_answer()->token == 1);
  REQUIRE(reader.next_answer()->token == 2);
  REQUIRE_FALSE(reader.next_answer());
  push(queue, 1, items(7, 1), now);
  next_of(queue, *seats[1]);
  REQUIRE(queue.slot_died(1) == run_queue::origin{1, {7, 1}});
}

TEST_CASE("many slots and a gateway: every message is answered once") {
  constexpr std::uint64_t total = 200'000;
  constexpr std::uint32_t slots = 4;
  run_queue queue{slots};
  const auto seats = seats_of(queue);
  std::vector<std::atomic<bool>> woken(slots);
  std::atomic<bool> done{false};
  std::vector<std::thread> threads;
  for (std::uint32_t slot = 0; slot < slots; ++slot)
    threads.emplace_back([&, slot] {
      while (!done) {
        if (!woken[slot].exchange(false)) {
          std::this_thread::yield();
          continue;
        }
        while (auto job = next_of(queue, *seats[slot]))
          queue.finish(*seats[slot], answer_to(*job), std::chrono::steady_clock::now());
      }
    });
  std::set<std::uint64_t> answered;
  std::uint64_t pushed = 0;
  while (answered.size() < total) {
    if (pushed < total) {
      for (const auto slot : push(queue, 0, items(pushed, 100), now)) woken[slot] = true;
      pushed += 100;
    }
    batch_reader reader{queue.take_answers(0).flat()};
    while (const auto* answer = reader.next_answer()) {
      if (!answered.insert(answer->token).second) FAIL("answered twice");
    }
  }
  done = true;
  for (auto& t : threads) t.join();
  REQUIRE(queue.count().waiting == 0);
  REQUIRE(queue.count().running == 0);
}
