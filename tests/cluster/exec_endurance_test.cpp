#include "tests/cluster/exec_handler.hpp"
#include "tests/cluster/raw.hpp"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <random>

using namespace ropewalk;

namespace fs = std::filesystem;

/// Handlers that stay up, under a load that lasts: in CI for seconds, with ROPEWALK_TEST_SECONDS=60
/// for a minute each (tests/run endurance).

namespace {

using std::chrono::steady_clock;
using strings = std::vector<std::string>;

// apps/examples/handler.c: echoes, up to 64 at a time.
const std::string in_c = "h=exec:" ROPEWALK_PROGRAMS "/example_handler";

std::size_t zombies_of(const process& node) {
  auto count = children_of(node.pid(), true).size();
  for (const auto keeper : keepers_of(node)) count += children_of(keeper, true).size();
  for (const auto spawner : spawners_of(node)) count += children_of(spawner, true).size();
  return count;
}

std::size_t descriptors_of(pid_t pid) {
  const fs::directory_iterator all{"/proc/" + std::to_string(pid) + "/fd"};
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

load echo_load(const cluster& c, std::uint64_t count, std::uint64_t window) {
  return {c.connect(), "h", count, window,
          [](std::uint64_t id) { return std::string(id % 500, 'x') + std::to_string(id); }};
}

void check_all_right(const load& l, std::uint64_t count) {
  INFO(l.last_error);
  CHECK(l.answered == count);
  CHECK(l.wrong == 0);
  CHECK(l.twice == 0);
  CHECK(l.errors.empty());
}

} // namespace

TEST_CASE(
    "ten thousand messages with processes that are replaced after ten: none is lost or fails, "
    "and descriptors and memory stay as they are",
    "[endurance]") {
  cluster c;
  auto& node = c.start_node("a", {"--service", in_c, "--set", "h.slots=4", "--set", "h.processes=4",
                                  "--set", "h.recycle-after=10"});
  REQUIRE(c.has_nodes(1));
  auto warm = echo_load(c, 2'000, 4);
  warm.run(60s);
  const auto settled = [&] { // replacements come to their end
    return eventually([&] { return handlers_of(node).size() == 4 && zombies_of(node) == 0; });
  };
  REQUIRE(settled());
  const auto descriptors = descriptors_of(node.pid());
  const auto kib = resident_kib(node.pid());
  const auto starts = occurrences(node.log(), "is ready, for");
  auto all = echo_load(c, 10'000, 4);
  all.run(120s);
  check_all_right(all, 10'000);
  REQUIRE(settled());
  const auto replaced = occurrences(node.log(), "is ready, for") - starts;
  WARN(replaced << " processes for 10,000 messages; the node's memory grew by "
                << static_cast<double>(resident_kib(node.pid())) - static_cast<double>(kib)
                << " KiB");
  CHECK(replaced >= 20);
  CHECK(descriptors_of(node.pid()) == descriptors);
#if !defined(__SANITIZE_ADDRESS__)
  CHECK(resident_kib(node.pid()) <= kib + 4096);
#endif
  CHECK(c.status()["restarts"] == 0);
  CHECK(c.status()["redispatched"] == 0);
}

TEST_CASE("a hundred thousand messages, and a mebibyte of noise on stdout and stderr among them: "
          "nothing is wrong",
          "[endurance]") {
  cluster c;
  // All bytes that there are, on both, by what the handler has started: its output is the same.
  const auto noisy =
      "h=exec:sh -c 'for i in 1 2 3 4 5 6 7 8; do head -c 65536 /dev/urandom; head "
      "-c 65536 /dev/urandom >&2; sleep 0.1; done & exec " ROPEWALK_PROGRAMS "/example_handler'";
  auto& node =
      c.start_node("a", {"--service", noisy, "--set", "h.slots=64", "--set", "h.processes=1"});
  REQUIRE(c.has_nodes(1));
  auto all = echo_load(c, 100'000, 200);
  all.run(120s);
  check_all_right(all, 100'000);
  CHECK(eventually([&] { return occurrences(node.log(), " says: ") > 0; }));
  CHECK(c.status()["restarts"] == 0);
  CHECK(node.log().size() < 1'000'000); // 20 lines a second
}

TEST_CASE(
    "a random handler killed every 50 ms under full load on two nodes: every answer is right, "
    "and none is given up",
    "[endurance]") {
  cluster c;
  std::vector<const process*> nodes;
  for (const auto* name : {"a", "b"})
    nodes.push_back(
        &c.start_node(name, {"--service", in_c, "--set", "h.slots=4", "--set", "h.processes=4"}));
  REQUIRE(c.has_nodes(2));
  REQUIRE(eventually([&] {
    return std::all_of(nodes.begin(), nodes.end(),
                       [](const process* n) { return handlers_of(*n).size() == 4; });
  }));
  std::mt19937 random{16};
  const auto end = steady_clock::now() + how_long(4);
  auto killed_at = steady_clock::now();
  std::uint64_t killed = 0;
  std::uint64_t since = 0; // the last kill: a machine that stands still is not to lose all it has
  auto all = echo_load(c, 20'000'000, 64);
  all.run(how_long(4) + 60s, [&](std::uint64_t) {
    const auto now = steady_clock::now();
    if (now >= end) return all.finish();
    if (++since < 200 || now - killed_at < 50ms) return;
    const auto pids = handlers_of(*nodes[random() % 2]);
    if (pids.empty()) return;
    ::kill(pids[random() % pids.size()], SIGKILL);
    killed_at = now;
    since = 0;
    ++killed;
  });
  const auto status = c.status();
  WARN(killed << " handlers killed; " << all.answered << " answered, " << status["redispatched"]
              << " started again, " << all.errors["WORKER_LOST"] << " given up");
  all.errors.erase("WORKER_LOST");
  CHECK(killed >= 10);
  CHECK(status["redispatched"] > 0);
  check_all_right(all, all.asked());
}

namespace {

// What the others waited, in milliseconds, and how many were refused that had killed nothing.
struct beside_poison {
  double p99_ms = 0;
  std::uint64_t innocents_refused = 0;
};

// One message every `pause`, of which each hundredth kills its process, if `poison`.
beside_poison run_beside_poison(const cluster& c, bool poison, std::chrono::milliseconds pause,
                                std::chrono::seconds lasting) {
  struct asked {
    bool kills;
    steady_clock::time_point at;
  };
  auto connection = c.connect();
  std::map<std::uint64_t, asked> open;
  std::vector<double> took;
  beside_poison result;
  const auto end = steady_clock::now() + lasting;
  auto due = steady_clock::now();
  for (int sent = 0; steady_clock::now() < end || !open.empty();) {
    auto now = steady_clock::now();
    for (; now < end && due <= now; due += pause) {
      const bool kills = poison && sent++ % 100 == 50;
      const auto id = connection.send("h", shared_bytes::copy_of(kills ? "die 11" : "sleep 50"));
      open.emplace(id, asked{kills, due});
    }
    const auto answer = connection.wait(1ms);
    if (!answer) {
      REQUIRE_FALSE(connection.closed());
      continue;
    }
    now = steady_clock::now();
    const auto found = open.find(answer->id);
    REQUIRE(found != open.end());
    if (!found->second.kills) {
      took.push_back(std::chrono::duration<double, std::milli>(now - found->second.at).count());
      result.innocents_refused += answer->code == error_code::ok ? 0 : 1;
    }
    open.erase(found);
  }
  std::sort(took.begin(), took.end());
  result.p99_ms = took[took.size() * 99 / 100];
  return result;
}

} // namespace

TEST_CASE("one poison message in a hundred, with 16 at a time in a process: no other is refused, "
          "and they wait little longer",
          "[endurance]") {
  cluster c;
  for (const auto* name : {"a", "b"})
    c.start_node(name,
                 node_of({"--set", "h.slots=64", "--set", "h.processes=4"}, "--concurrency 16"));
  ready_client(c, 2);
  const auto alone = run_beside_poison(c, false, 5ms, 1s);
  const auto beside = run_beside_poison(c, true, 5ms, how_long(3));
  WARN("p99 of the others: " << alone.p99_ms << " ms without, " << beside.p99_ms << " ms with");
  CHECK(beside.innocents_refused == 0);
  if (std::getenv("ROPEWALK_TEST_SECONDS")) CHECK(beside.p99_ms <= 2 * alone.p99_ms);
}
