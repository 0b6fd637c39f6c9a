#include "net/cluster/unknown_peers.hpp"
#include "tests/catch.hpp"

#include <map>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

// Peers that note why they were given up.
struct waiting_room {
  std::uint64_t add(const std::string& name) {
    return peers.add(now, [this, name](const std::string& why) { given_up[name] = why; });
  }

  unknown_peers peers{{3, 10s}};
  unknown_peers::time_point now{1h};
  std::map<std::string, std::string> given_up;
};

} // namespace

TEST_CASE("who connects to the cluster port and says nothing has its time and no more") {
  waiting_room w;
  w.add("first");
  w.now += 4s;
  w.add("second");
  CHECK(w.peers.next_end() == w.now + 6s);
  w.now += 6s - 1ms;
  w.peers.check(w.now);
  CHECK(w.given_up.empty());
  w.now += 1ms;
  w.peers.check(w.now);
  CHECK(w.given_up ==
        std::map<std::string, std::string>{{"first", "it has not shaken hands within 10000 ms"}});
  CHECK(w.peers.next_end() == w.now + 4s);
  w.now += 1h;
  w.peers.check(w.now);
  CHECK(w.given_up.count("second") == 1);
  CHECK_FALSE(w.peers.next_end());
}

TEST_CASE("of those who wait at the cluster port the oldest makes room for who comes") {
  waiting_room w;
  for (const auto* name : {"a", "b", "c"}) w.add(name);
  CHECK(w.given_up.empty());
  w.add("d");
  CHECK(w.given_up.count("a") == 1);
  w.add("e");
  CHECK(w.given_up.count("b") == 1);
  CHECK(w.given_up.size() == 2);
  CHECK(w.peers.size() == 3);
}

TEST_CASE("who has shaken hands, or is gone, is neither given up nor in somebody's way") {
  waiting_room w;
  const auto worker = w.add("worker");
  for (const auto* name : {"b", "c"}) w.add(name);
  w.peers.forget(worker);
  w.add("d");
  CHECK(w.given_up.empty());
  w.peers.forget(worker); // again: nothing
  CHECK(w.peers.size() == 3);
  w.now += 1h;
  w.peers.check(w.now);
  CHECK(w.given_up.size() == 3);
  CHECK(w.given_up.count("worker") == 0);
}
