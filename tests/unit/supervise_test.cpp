#include "actors/supervise/restart_policy.hpp"
#include "tests/catch.hpp"

using namespace ropewalk;
using std::chrono::seconds;

TEST_CASE("five restarts in ten seconds are granted, the sixth fall is one too many") {
  restart_policy policy{{}};
  instant now{};
  for (int i = 0; i < 5; ++i) REQUIRE(policy.on_exit(now += seconds{1}));
  REQUIRE_FALSE(policy.on_exit(now + seconds{1}));
  REQUIRE(policy.restarts() == 5);
}

TEST_CASE("falls of one message count once, however often it is started, and the pause grows") {
  restart_policy policy{{}};
  instant now{};
  milliseconds last{0};
  for (int i = 0; i < 8; ++i) {
    const auto pause = policy.on_exit(now += milliseconds{1}, 7);
    REQUIRE(pause);
    CHECK(*pause > last);
    last = *pause;
  }
  // It was one of five: four others are granted, and what falls of none counts as before.
  for (std::uint64_t other = 100; other < 103; ++other) REQUIRE(policy.on_exit(now, other));
  REQUIRE(policy.on_exit(now));
  REQUIRE(policy.on_exit(now, 7)); // again
  REQUIRE_FALSE(policy.on_exit(now));
  REQUIRE_FALSE(policy.on_exit(now, 103));
}

TEST_CASE("children that fall of one message after the other are a loop, which is seen") {
  restart_policy policy{{}};
  instant now{};
  for (std::uint64_t message = 1; message <= 5; ++message)
    REQUIRE(policy.on_exit(now += milliseconds{1}, message));
  REQUIRE_FALSE(policy.on_exit(now, 6));
  REQUIRE(policy.on_exit(now + seconds{11}, 6)); // after the window as ever
}

TEST_CASE("falls that lie far enough apart are restarted for ever") {
  restart_policy policy{{}};
  instant now{};
  for (int i = 0; i < 1000; ++i) REQUIRE(policy.on_exit(now += milliseconds{2001}));
}

TEST_CASE(
    "the pause doubles with every fall in the window, with a fifth of jitter, up to the longest") {
  restart_policy::settings with;
  with.restarts = 12;
  restart_policy policy{with, 42};
  double expected = static_cast<double>(with.first_pause.count());
  bool jitter = false;
  for (int i = 0; i < 12; ++i) {
    const auto pause = policy.on_exit(instant{} + milliseconds{i});
    REQUIRE(pause);
    const auto ms = static_cast<double>(pause->count());
    REQUIRE(ms >= expected * 0.8 - 1);
    REQUIRE(ms <= expected * 1.2 + 1);
    jitter = jitter || ms != expected;
    expected = std::min(expected * 2, static_cast<double>(with.longest_pause.count()));
  }
  REQUIRE(jitter);
}

TEST_CASE("after a quiet time the pause is short again") {
  restart_policy policy{{}};
  for (int i = 0; i < 4; ++i) policy.on_exit(instant{} + milliseconds{i});
  REQUIRE(policy.on_exit(instant{} + seconds{60})->count() <= 24);
}

TEST_CASE("looking for a broker is tried for ever, no more often than the longest pause asks") {
  backoff patience{milliseconds{50}, milliseconds{1000}, 3};
  REQUIRE(patience.next() <= milliseconds{60});
  for (int i = 0; i < 100; ++i) REQUIRE(patience.next() <= milliseconds{1200});
  REQUIRE(patience.next() >= milliseconds{800});
  patience.reset();
  REQUIRE(patience.next() <= milliseconds{60});
}
