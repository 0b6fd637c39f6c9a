#include "actors/supervise/process_scaling.hpp"
#include "tests/catch.hpp"

using namespace ropewalk;

// How many processes come when requests wait (slots=MIN..MAX).

namespace {

using load = process_scaling::load;

// What it says once something has waited for so long that it matters.
std::uint32_t after_a_while(const load& now_is) {
  process_scaling scaling;
  CHECK(scaling.to_start(now_is, instant{}) == 0);
  CHECK(scaling.to_start(now_is, instant{process_scaling::hesitation / 2}) == 0);
  return scaling.to_start(now_is, instant{process_scaling::hesitation});
}

} // namespace

TEST_CASE("as many processes are started as would take what waits, at most as many as are there") {
  CHECK(after_a_while({.waiting = 1, .ready = 4, .down = 10}) == 1);
  CHECK(after_a_while({.waiting = 3, .ready = 4, .down = 10}) == 3);
  CHECK(after_a_while({.waiting = 1000, .ready = 4, .down = 10}) == 4);
  CHECK(after_a_while({.waiting = 1000, .ready = 4, .down = 2}) == 2);
  CHECK(after_a_while({.waiting = 1000, .ready = 4, .down = 0}) == 0);
  CHECK(after_a_while({.waiting = 5, .ready = 0, .down = 3}) == 1);
  CHECK(after_a_while({.waiting = 40, .ready = 4, .down = 9, .slots_of_each = 16}) == 3);
}

TEST_CASE("processes that are on their way are expected to take some of what waits") {
  CHECK(after_a_while({.waiting = 2, .ready = 4, .starting = 2, .down = 4}) == 0);
  CHECK(after_a_while({.waiting = 3, .ready = 4, .starting = 2, .down = 4}) == 1);
  CHECK(after_a_while({.waiting = 100, .ready = 4, .starting = 4, .down = 4}) == 0);
  CHECK(after_a_while({.waiting = 100, .ready = 0, .starting = 1, .down = 4}) == 0);
}

TEST_CASE("what waits for a moment now and then starts nothing") {
  process_scaling scaling;
  const load waits{.waiting = 5, .ready = 1, .down = 5};
  for (int i = 0; i < 20; ++i) {
    const instant now{i * process_scaling::hesitation};
    CHECK(scaling.to_start(waits, now) == 0);
    CHECK(scaling.to_start({.waiting = 0, .ready = 1, .down = 5},
                           now + process_scaling::hesitation / 2) == 0);
  }
}
