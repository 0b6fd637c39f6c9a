#include "actors/dispatch/credit.hpp"
#include "tests/catch.hpp"

using ropewalk::credit;
using std::chrono::microseconds;

TEST_CASE("nothing is handed out ahead while nothing is known") {
  REQUIRE(credit(4, 1000, microseconds{2000}).allowed() == 4);
}

TEST_CASE("microseconds are handed out deep, seconds not at all") {
  credit fast{2, 1000, microseconds{2000}};
  for (int i = 0; i < 100; ++i) fast.ran_for(microseconds{2});
  REQUIRE(fast.allowed() == 2 + 2 * 1000);
  credit slow{2, 1000, microseconds{2000}};
  slow.ran_for(microseconds{1'000'000});
  REQUIRE(slow.allowed() == 2);
}

TEST_CASE("one long run counts at once, and is worn off by many short ones") {
  credit c{1, 1000, microseconds{2000}};
  for (int i = 0; i < 100; ++i) c.ran_for(microseconds{5});
  REQUIRE(c.allowed() > 100);
  c.ran_for(microseconds{100'000});
  REQUIRE(c.allowed() == 1);
  for (int i = 0; i < 1000; ++i) c.ran_for(microseconds{5});
  REQUIRE(c.allowed() > 100);
}
