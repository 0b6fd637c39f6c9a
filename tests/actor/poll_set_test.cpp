#include "net/cluster/poll_set.hpp"
#include "net/transport/socket.hpp"
#include "tests/actor/led_loop.hpp"
#include "tests/catch.hpp"

#include <algorithm>
#include <array>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <thread>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

// It can always be read from.
descriptor always_ready() {
  return descriptor{::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)};
}

} // namespace

TEST_CASE("what is ready within a budget is served in turn, and the rest of the loop meanwhile") {
  constexpr std::size_t count = 200; // more than are fetched at a time
  led_loop l;
  const auto all = poll_set::open(l.loop, 1ms);
  std::vector<descriptor> sockets;
  std::vector<int> times(count);
  for (std::size_t i = 0; i < count; ++i) {
    sockets.push_back(always_ready());
    REQUIRE(all->watch(sockets.back().get(), EPOLLIN, [&times, i](std::uint32_t) {
      ++times[i];
      std::this_thread::sleep_for(100us);
    }) != 0);
  }
  const auto other = poll_set::open(l.loop);
  const auto lone = always_ready();
  int turns = 0;
  int lone_times = 0;
  REQUIRE(other->watch(lone.get(), EPOLLIN, [&](std::uint32_t) { ++lone_times; }) != 0);
  CHECK(all->last_crowded() == std::chrono::steady_clock::time_point{});
  while (*std::max_element(times.begin(), times.end()) < 3) {
    l.turn();
    ++turns;
  }
  CHECK(*std::min_element(times.begin(), times.end()) >= 2); // nobody is passed over
  CHECK(turns > 30);                                         // of some ten each
  CHECK(lone_times >= turns - 2);
  CHECK(std::chrono::steady_clock::now() - all->last_crowded() < 10s);
  all->close();
  other->close();
  l.turn();
}

TEST_CASE("what is ready without a budget is served in one turn") {
  constexpr std::size_t count = 50;
  led_loop l;
  const auto all = poll_set::open(l.loop);
  std::vector<descriptor> sockets;
  int times = 0;
  for (std::size_t i = 0; i < count; ++i) {
    sockets.push_back(always_ready());
    REQUIRE(all->watch(sockets.back().get(), EPOLLIN, [&](std::uint32_t) { ++times; }) != 0);
  }
  while (times == 0) l.turn();
  CHECK(times == count);
  CHECK(all->last_crowded() == std::chrono::steady_clock::time_point{});
  all->close();
  l.turn();
}

TEST_CASE("what is ready is not crowded where all of it is served before long, again and again") {
  led_loop l;
  const auto all = poll_set::open(l.loop, 10ms);
  const std::array sockets{always_ready(), always_ready()};
  int times = 0;
  for (const auto& one : sockets)
    REQUIRE(all->watch(one.get(), EPOLLIN, [&](std::uint32_t) {
      ++times;
      std::this_thread::sleep_for(12ms); // more than there is for both in a turn
    }) != 0);
  while (times < 20) l.turn();
  CHECK(all->last_crowded() == std::chrono::steady_clock::time_point{});
  all->close();
  l.turn();
}

TEST_CASE("what is to be served again is, in turn with what is ready, and without it") {
  led_loop l;
  const bool others = GENERATE(false, true);
  const auto all = poll_set::open(l.loop, 1ms);
  const auto lone = always_ready();
  int lone_times = 0;
  if (others) REQUIRE(all->watch(lone.get(), EPOLLIN, [&](std::uint32_t) { ++lone_times; }) != 0);
  const descriptor never_ready{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  int times = 0;
  poll_set::id which = 0;
  which = all->watch(never_ready.get(), EPOLLIN, [&](std::uint32_t events) {
    CHECK(events == EPOLLIN);
    std::this_thread::sleep_for(1ms);
    if (++times % 50 != 0) all->serve_again(which);
  });
  all->serve_again(which);
  all->serve_again(which); // once is enough
  int turns = 0;
  for (; times < 50; ++turns) l.loop.handle_events(); // does not wait for anything else
  CHECK(turns > 3);
  CHECK((lone_times > 0) == others);
  for (int i = 0; i < 10; ++i) l.turn();
  CHECK(times == 50);
  all->serve_again(which);
  all->forget(which); // before it had its turn
  for (int i = 0; i < 3; ++i) l.turn();
  CHECK(times == 50);
  all->close();
  l.turn();
}

TEST_CASE(
    "once something was called it is looked at every so often, for as long as that is wanted") {
  led_loop l;
  const auto all = poll_set::open(l.loop);
  const auto event = always_ready();
  int looks = 0;
  int wanted = 3;
  all->look_every(1ms, [&] { return ++looks % wanted != 0; });
  const auto looked = [&](int times) {
    for (const auto end = std::chrono::steady_clock::now() + 20ms;
         looks < times || std::chrono::steady_clock::now() < end;)
      l.turn();
    return looks == times;
  };
  CHECK(looked(0)); // nothing has happened yet
  poll_set::id which = 0;
  which = all->watch(event.get(), EPOLLIN, [&](std::uint32_t) { all->forget(which); });
  REQUIRE(which != 0);
  CHECK(looked(3));
  all->expect_look();
  all->expect_look(); // once is enough
  CHECK(looked(6));
  SECTION("who looks may close it") {
    wanted = 100;
    all->expect_look();
    while (looks < 8) l.turn();
  }
  all->close();
  all->expect_look(); // nothing comes of it
  const int then = looks;
  CHECK(looked(then));
}

TEST_CASE("a set that is closed in the turn in which it was opened is gone, and so is one that is "
          "closed later") {
  led_loop l;
  const bool later = GENERATE(false, true);
  std::weak_ptr<poll_set> gone;
  {
    const auto all = poll_set::open(l.loop);
    gone = all;
    if (later) l.turn();
    all->close();
  }
  for (int i = 0; i < 3; ++i) l.turn();
  CHECK(gone.expired());
}
