#include "net/cluster/shared_loop.hpp"
#include "tests/catch.hpp"

#include <caf/all.hpp>
#include <future>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

// A system whose loop is shared, and that has started.
struct shared_system {
  shared_system() { loop.start(); }

  // True if what is posted now runs before long.
  bool serves() {
    auto served = std::make_shared<std::promise<void>>();
    loop.post([served] { served->set_value(); });
    return served->get_future().wait_for(10s) == std::future_status::ready;
  }

  // The watchman goes off duty, as if somebody were about to attend.
  void hand_over() {
    std::promise<void> done;
    loop.post([&] {
      loop.hand_over();
      done.set_value();
    });
    done.get_future().wait();
  }

  struct config : caf::actor_system_config {
    config() {
      set("scheduler.max-threads", std::size_t{1});
      shared_loop::use_for(*this);
    }
  } settings;
  caf::actor_system system{settings};
  shared_loop& loop = shared_loop::of(system);
};

// False if the watchman came back first.
bool eventually_attend(shared_loop& loop, const void* who) {
  for (int i = 0; i < 1000; ++i) {
    if (loop.attend(who)) return true;
    std::this_thread::yield();
  }
  return false;
}

} // namespace

TEST_CASE("a loop that nobody attends is attended by the watchman") {
  shared_system s;
  REQUIRE(s.serves());
  s.hand_over();
  REQUIRE(s.serves());
}

TEST_CASE("the watchman keeps out while a slot attends, and comes back when it leaves for long") {
  shared_system s;
  const int me = 0;
  do s.hand_over(); // again if the watchman was back before us
  while (!eventually_attend(s.loop, &me));
  REQUIRE(s.loop.who() == &me);
  std::this_thread::sleep_for(20ms); // the watchman is asleep by then
  std::atomic<bool> ran{false};
  std::thread{[&] { s.loop.post([&] { ran = true; }); }}.join();
  std::this_thread::sleep_for(20ms);
  REQUIRE_FALSE(ran);
  while (!ran) s.loop.turn();
  s.loop.leave();
  REQUIRE(s.serves());
}

TEST_CASE("threads that take turns at the loop run everything once, one at a time") {
  constexpr int posters = 2;
  constexpr int attendants = 3;
  constexpr int each = 20'000;
  shared_system s;
  std::atomic<int> ran{0};
  std::atomic<int> inside{0};
  std::atomic<bool> overlapped{false};
  auto task = [&] {
    if (inside.fetch_add(1) != 0) overlapped = true;
    if (ran.load() % 64 == 0) s.loop.hand_over();
    inside.fetch_sub(1);
    ++ran;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < posters; ++i)
    threads.emplace_back([&] {
      for (int n = 0; n < each; ++n) s.loop.post(task);
    });
  for (int i = 0; i < attendants; ++i)
    threads.emplace_back([&, i] {
      while (ran < posters * each) {
        if (!s.loop.attend(&threads[static_cast<std::size_t>(i)])) {
          std::this_thread::yield();
          continue;
        }
        s.loop.post([] {}); // or the turn would wait for something
        s.loop.turn();
        s.loop.leave();
        if (i == 0) std::this_thread::sleep_for(100us); // the watchman gets some, too
      }
    });
  for (auto& t : threads) t.join();
  REQUIRE(ran == posters * each);
  REQUIRE_FALSE(overlapped);
}
