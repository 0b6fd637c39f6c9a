#include "tests/actor/led_loop.hpp"
#include "tests/actor/shared_system.hpp"
#include "tests/catch.hpp"

#include <future>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

struct served_system : shared_system {
  // True if what is posted now runs before long.
  bool serves() {
    auto served = std::make_shared<std::promise<void>>();
    loop.post([served] { served->set_value(); });
    return served->get_future().wait_for(10s) == std::future_status::ready;
  }

  // The fallback poller goes off duty, as if somebody were about to lead.
  void yield_to_follower() {
    std::promise<void> done;
    loop.post([&] {
      loop.yield_to_follower();
      done.set_value();
    });
    done.get_future().wait();
  }
};

// False if the fallback poller came back first.
bool eventually_leads(shared_loop& loop, leader_id who) {
  for (int i = 0; i < 1000; ++i) {
    if (loop.acquire_leadership(who)) return true;
    std::this_thread::yield();
  }
  return false;
}

} // namespace

TEST_CASE("a loop at which nobody leads is led by the fallback poller") {
  served_system s;
  REQUIRE(s.serves());
  s.yield_to_follower();
  REQUIRE(s.serves());
}

TEST_CASE(
    "the fallback poller keeps out while a slot leads, and comes back when it is away for long") {
  served_system s;
  const auto me = s.loop.enlist();
  do s.yield_to_follower(); // again if the fallback poller was back before us
  while (!eventually_leads(s.loop, me));
  REQUIRE(s.loop.leader() == me);
  std::this_thread::sleep_for(20ms); // the fallback poller is asleep by then
  std::atomic<bool> ran{false};
  std::thread{[&] { s.loop.post([&] { ran = true; }); }}.join();
  std::this_thread::sleep_for(20ms);
  REQUIRE_FALSE(ran);
  while (!ran) s.loop.handle_events();
  s.loop.release_leadership();
  REQUIRE(s.serves());
}

TEST_CASE("threads that take turns at the loop run everything once, one at a time") {
  constexpr int posters = 2;
  constexpr int followers = 3;
  constexpr int each = 20'000;
  served_system s;
  std::atomic<int> ran{0};
  std::atomic<int> inside{0};
  std::atomic<bool> overlapped{false};
  auto task = [&] {
    if (inside.fetch_add(1) != 0) overlapped = true;
    if (ran.load() % 64 == 0) s.loop.yield_to_follower();
    inside.fetch_sub(1);
    ++ran;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < posters; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < each; ++n) s.loop.post(task);
    });
  for (int i = 0; i < followers; ++i)
    threads.emplace_back([&, i, me = s.loop.enlist()] {
      while (ran < posters * each) {
        if (!s.loop.acquire_leadership(me)) {
          std::this_thread::yield();
          continue;
        }
        s.loop.post([] {}); // or it would wait for something
        s.loop.handle_events();
        s.loop.release_leadership();
        if (i == 0) std::this_thread::sleep_for(100us); // the fallback poller gets some, too
      }
    });
  for (auto& t : threads) t.join();
  REQUIRE(ran == posters * each);
  REQUIRE_FALSE(overlapped);
}

TEST_CASE("what is deferred runs on the next turn, and what that defers on the one after it") {
  led_loop l;
  int times = 0;
  std::function<void()> again = [&] {
    if (++times < 3) l.loop.defer(again);
  };
  l.loop.defer(again);
  for (int turns = 1; turns <= 3; ++turns) {
    l.loop.handle_events(); // does not wait for anything else
    CHECK(times == turns);
  }
  l.turn();
  CHECK(times == 3);
}

TEST_CASE("of what takes long to end as much is let go in a turn as there is time for") {
  struct slow : caf::ref_counted {
    explicit slow(int& counts) : ended(counts) {}
    ~slow() override {
      std::this_thread::sleep_for(std::chrono::microseconds{limits::release_time_us - 100});
      ++ended;
    }
    int& ended;
  };
  led_loop l;
  int ended = 0;
  for (int i = 0; i < 10; ++i)
    l.loop.release_later(caf::intrusive_ptr<caf::ref_counted>{new slow{ended}, false});
  CHECK(ended == 0);
  l.loop.handle_events();
  CHECK(ended >= 1);
  CHECK(ended <= 2);
  for (int turns = 1; turns < 10; ++turns) l.turn();
  CHECK(ended == 10);
}
