#include "actors/supervise/memory_return.hpp"
#include "tests/catch.hpp"

using namespace ropewalk;

namespace {

using limits::mib;

// A process whose memory and work are as the test says, asked every two seconds.
struct process_in_time {
  // True if free memory was given back; `freeable` of it goes.
  bool tick(milliseconds worked, std::uint64_t resident, std::uint64_t in_use,
            std::uint64_t freeable = 0) {
    now += memory_return::interval;
    used += worked;
    if (!decides.is_time(now, used, resident) || !decides.is_worth_it(resident, in_use))
      return false;
    decides.given_back(resident - freeable, in_use);
    return true;
  }

  memory_return decides;
  instant now{};
  std::chrono::nanoseconds used{0};
};

constexpr milliseconds idle{3};
constexpr milliseconds busy{1000};

} // namespace

TEST_CASE("free memory goes back when there is much of it and the process is quiet") {
  process_in_time p;
  CHECK_FALSE(p.tick(idle, 12 * mib, 8 * mib)); // nothing to compare with yet
  CHECK_FALSE(p.tick(busy, 500 * mib, 490 * mib));
  CHECK_FALSE(p.tick(busy, 500 * mib, 10 * mib)); // it may want it again at once
  CHECK(p.tick(idle, 500 * mib, 10 * mib, 480 * mib));
  CHECK_FALSE(p.tick(idle, 20 * mib, 10 * mib));
}

TEST_CASE("little is kept, and so is what is in use, for as long as it is") {
  process_in_time p;
  p.tick(idle, 12 * mib, 8 * mib);
  CHECK_FALSE(p.tick(idle, 40 * mib, 8 * mib));
  CHECK_FALSE(p.tick(idle, 500 * mib, 480 * mib)); // it waits in a queue
  CHECK_FALSE(p.tick(idle, 500 * mib, 480 * mib));
  CHECK(p.tick(idle, 500 * mib, 10 * mib, 480 * mib));
}

TEST_CASE("what cannot be given back is not tried again and again, and what comes later is") {
  process_in_time p;
  p.tick(idle, 12 * mib, 8 * mib);
  CHECK(p.tick(idle, 200 * mib, 10 * mib, 40 * mib));
  for (int i = 0; i < 10; ++i) CHECK_FALSE(p.tick(idle, 160 * mib, 10 * mib));
  CHECK_FALSE(p.tick(idle, 180 * mib, 10 * mib));
  CHECK(p.tick(idle, 300 * mib, 10 * mib, 140 * mib));
  // The holes are filled: now they count again when they are free.
  CHECK_FALSE(p.tick(idle, 160 * mib, 150 * mib));
  CHECK(p.tick(idle, 160 * mib, 10 * mib, 100 * mib));
}
