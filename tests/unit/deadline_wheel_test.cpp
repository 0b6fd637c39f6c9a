#include "actors/dispatch/deadline_wheel.hpp"
#include "tests/catch.hpp"

#include <map>
#include <random>

using namespace ropewalk;

TEST_CASE("deadlines are reported once, never early, at most a tick late") {
  // Against a map that is plainly right, over spans that use every level of the wheel and the jump
  // beyond it.
  for (const std::int64_t span_ms : {50LL, 3'000LL, 200'000LL, 20'000'000LL}) {
    const instant start{};
    deadline_wheel wheel{start};
    std::map<std::uint32_t, instant> pending;
    std::mt19937_64 random{static_cast<std::uint64_t>(span_ms)};
    instant now = start;
    std::uint32_t next = 0;
    std::vector<std::uint32_t> expired;
    for (int step = 0; step < 4000; ++step) {
      for (int i = 0; i < 3; ++i) {
        const auto deadline = now + milliseconds{random() % static_cast<std::uint64_t>(span_ms)};
        wheel.insert(next, deadline, now);
        pending.emplace(next++, deadline);
      }
      if (!pending.empty() && random() % 2 == 0) {
        auto victim = pending.lower_bound(static_cast<std::uint32_t>(random() % next));
        if (victim == pending.end()) victim = pending.begin();
        wheel.erase(victim->first);
        pending.erase(victim);
      }
      now += milliseconds{random() % static_cast<std::uint64_t>(span_ms / 10 + 2)};
      expired.clear();
      const auto max = static_cast<std::uint32_t>(1 + random() % 20);
      while (wheel.advance(now, expired, max)) REQUIRE(expired.size() % max == 0);
      for (const auto entry : expired) {
        const auto found = pending.find(entry);
        REQUIRE(found != pending.end());
        REQUIRE(found->second <= now);
        pending.erase(found);
      }
      for (const auto& [entry, deadline] : pending)
        REQUIRE(deadline > now - 2 * deadline_wheel::tick);
      REQUIRE(wheel.size() == pending.size());
    }
  }
}

TEST_CASE("an idle hour costs nothing and loses nothing") {
  deadline_wheel wheel{instant{}};
  std::vector<std::uint32_t> expired;
  wheel.advance(instant{} + std::chrono::hours{1}, expired, 1);
  wheel.insert(3, instant{} + std::chrono::hours{1} + milliseconds{100}, instant{});
  wheel.advance(instant{} + std::chrono::hours{1} + milliseconds{90}, expired, 1);
  REQUIRE(expired.empty());
  wheel.advance(instant{} + std::chrono::hours{1} + milliseconds{120}, expired, 1);
  REQUIRE(expired == std::vector<std::uint32_t>{3});
}
