#include "actors/node/overdue_runs.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/worker/function_handler.hpp"
#include "tests/catch.hpp"

using namespace ropewalk;
using namespace std::chrono_literals;

// Somebody's code in the node's own process: functions, and runs that cannot be ended.

namespace {

const instant now = std::chrono::steady_clock::now();

outcome run(handler& code, std::string_view message, const std::atomic<bool>* stop = nullptr) {
  invocation what;
  what.service = "svc";
  what.payload = shared_bytes::copy_of(message);
  what.attempt = 2;
  what.begun = now;
  what.deadline = now + 5s;
  what.stop = stop;
  return code.run(what);
}

std::unique_ptr<handler> made(worker::function_maker makes) {
  return make_handler(function_handler(std::move(makes)), {});
}

} // namespace

TEST_CASE("a function's reply is its value, what it throws is FAILED, and busy goes back") {
  const auto code = made([] {
    return [](const worker::request& r) -> std::string {
      if (r.payload == "fail") throw std::runtime_error{"it is wrong"};
      if (r.payload == "odd") throw 3;
      if (r.payload == "busy") throw worker::busy{"not now"};
      if (r.payload == "stopped") return r.stopped() ? "yes" : "no";
      return std::string{r.service} + " " + std::to_string(r.attempt) + " " +
             std::string{r.payload};
    };
  });
  REQUIRE(code->start());
  CHECK(run(*code, "hi").payload.view() == "svc 2 hi");
  CHECK(run(*code, "fail").code == error_code::failed);
  CHECK(run(*code, "fail").payload.view() == "it is wrong");
  CHECK(run(*code, "odd").code == error_code::failed);
  CHECK(run(*code, "busy").what == outcome::kind::not_started);
  CHECK(run(*code, "busy").payload.view() == "not now");
  std::atomic<bool> stop{false};
  CHECK(run(*code, "stopped", &stop).payload.view() == "no");
  stop = true;
  CHECK(run(*code, "stopped", &stop).payload.view() == "yes");
}

TEST_CASE("a function's reply is not copied, and its function goes when the slot does") {
  const char* where = nullptr;
  const auto state = std::make_shared<int>();
  const auto code = made([&where, state] {
    return [&where, kept = state](const worker::request&) {
      std::string reply(100'000, 'y');
      where = reply.data();
      return reply;
    };
  });
  REQUIRE(code->start());
  const auto holders = state.use_count();
  const auto result = run(*code, "");
  CHECK(result.payload.view().data() == where);
  CHECK(result.payload.size() == 100'000);
  CHECK_FALSE(result.payload.borrowed());
  code->stop();
  CHECK(state.use_count() < holders);
}

TEST_CASE("a slot whose function cannot be made does not start") {
  CHECK_FALSE(made([] { return worker::function{}; })->start());
  const auto without = made([]() -> worker::function { throw std::runtime_error{"no model"}; });
  CHECK(without->start().why().what == "no model");
}

TEST_CASE("a run is overdue so long after it was seen to be unwanted, and each by itself") {
  overdue_runs runs{2, 100ms};
  CHECK_FALSE(runs.is_overdue(0, {}, now));
  CHECK_FALSE(runs.is_overdue(0, now, now + 5s)); // however long it had been running
  CHECK_FALSE(runs.is_overdue(0, now, now + 5s + 99ms));
  CHECK_FALSE(runs.is_overdue(1, now, now + 5s + 99ms));
  CHECK(runs.is_overdue(0, now, now + 5s + 100ms));
  CHECK_FALSE(runs.is_overdue(0, now + 6s, now + 6s)); // another run
  CHECK_FALSE(runs.is_overdue(0, {}, now + 7s));
  CHECK_FALSE(runs.is_overdue(0, now + 6s, now + 7s)); // it was wanted in between
}

TEST_CASE(
    "a slot that lost its place to nobody gives no answer, and its message goes back as lost") {
  run_queue queue{1};
  const auto seat = queue.take_seat(0, leader_id::nobody);
  work_item item;
  item.token = 7;
  item.fence = 1;
  item.remaining_ms = 1000;
  std::vector<work_item> items{item};
  REQUIRE(queue.push(0, items, now, now).size() == 1);
  run_queue::job job;
  REQUIRE(queue.next(*seat, now, job));
  CHECK_FALSE(queue.unwanted_run(0));
  CHECK_FALSE(seat->is_stopped());
  REQUIRE(queue.withdraw(0, {{7, 1}}).empty());
  CHECK(queue.unwanted_run(0) == now);
  queue.take_seat(0, leader_id::nobody);
  CHECK(seat->is_stopped());
  CHECK_FALSE(queue.has_place(*seat));
  CHECK(queue.slot_died(0)->attempt.token == 7);
  CHECK_FALSE(queue.unwanted_run(0));
  CHECK_FALSE(queue.finish(*seat, {}, now)); // the run ends after all
  CHECK_FALSE(queue.next(*seat, now, job));
  CHECK(queue.take_answers(0).empty());
  CHECK(queue.count().running == 0);
}
