#include "actors/broker/drain.hpp"
#include "tests/catch.hpp"

using namespace ropewalk;
using namespace std::chrono_literals;

TEST_CASE("a drain waits for answers, then for clients, and for both no longer than its time") {
  using step = drain::step;
  const instant start{1h};
  drain d;
  CHECK(d.next(start, true, 0) == step::wait); // nobody told it to
  CHECK(d.begin(start, 10s));
  CHECK_FALSE(d.begin(start + 5s, 10s)); // told again: the first time counts
  CHECK(d.next(start + 1s, false, 3) == step::wait);
  CHECK(d.next(start + 1s, true, 3) == step::close_clients);
  CHECK(d.next(start + 1s, true, 0) == step::finished);
  CHECK(d.next(start + 10s, false, 3) == step::out_of_time);
  CHECK(d.next(start + 11s, true, 3) == step::close_clients); // they have a little longer
  CHECK(d.next(start + 12s, true, 3) == step::out_of_time);
}
