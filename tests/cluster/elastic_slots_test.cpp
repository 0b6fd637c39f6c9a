#include "tests/cluster/exec_handler.hpp"
#include "tests/cluster/raw.hpp"

#include <csignal>

using namespace ropewalk;

// slots=MIN..MAX: processes that are started while requests wait, and ended when they are idle.

namespace {

process& start_elastic(cluster& c, const std::string& slots, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"--set", "h.slots=" + slots, "--set", "h.idle-time=1s"});
  return c.start_node("a", node_of(more));
}

std::uint64_t slots_of(const cluster& c) {
  const auto status = c.status();
  for (const auto& service : status["services"])
    if (service["name"] == "h") return service["slots"].get<std::uint64_t>();
  return 0;
}

// Asks for so many at a time, each of `each_ms`; all are answered, and how long that took.
std::chrono::milliseconds run_burst(const cluster& c, int count, int each_ms) {
  auto connection = c.connect();
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i)
    connection.send("h", shared_bytes::copy_of("sleep " + std::to_string(each_ms)));
  for (int i = 0; i < count; ++i) REQUIRE(text(connection.wait(60s)) == "OK slept");
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               began);
}

} // namespace

TEST_CASE("processes come while requests wait, up to MAX, and go when they are idle, down to MIN") {
  cluster c;
  auto& node = start_elastic(c, "1..4");
  auto connection = ready_client(c);
  CHECK(slots_of(c) == 1);
  const auto took = run_burst(c, 40, 200); // 8 s one by one, 2 s by four
  CHECK(slots_of(c) == 4);
  CHECK(took < 6s * time_factor);
  CHECK(eventually([&] { return slots_of(c) == 1; }, 20s));
  CHECK(node.says("has been idle for 1000 ms, and is ended"));
  CHECK(ask(connection, "echo again") == "OK again");
  run_burst(c, 20, 200);
  CHECK(slots_of(c) > 1);
  const auto status = c.status();
  CHECK(status["redispatched"] == 0);
  CHECK(status["restarts"] == 0);
}

TEST_CASE("one request after the other starts no more processes, however many they are") {
  cluster c;
  start_elastic(c, "1..4");
  auto connection = ready_client(c);
  for (int i = 0; i < 150; ++i) REQUIRE(ask(connection, "sleep 3") == "OK slept");
  CHECK(slots_of(c) == 1);
}

TEST_CASE(
    "a process that is killed under load, or replaced, stays within the range, and no request "
    "is lost by what comes and goes") {
  cluster c{{"--shards", "2"}};
  auto& node = start_elastic(c, "2..6", {"--set", "h.recycle-after=50"});
  auto connection = ready_client(c);
  load l{c.connect(), "h", 600, 30, [](std::uint64_t) { return std::string{"sleep 10"}; }};
  l.expects_echo = false;
  bool killed = false;
  l.run(60s, [&](std::uint64_t answered) {
    if (answered < 300 || std::exchange(killed, true)) return;
    node.signal(SIGHUP);
    const auto pid = ask(connection, "pid");
    REQUIRE(pid.starts_with("OK "));
    ::kill(std::stoi(pid.substr(3)), SIGKILL);
  });
  CHECK(l.answered == 600);
  CHECK(l.errors.empty());
  CHECK(slots_of(c) <= 6);
  CHECK(eventually([&] { return slots_of(c) == 2; }, 20s));
}

TEST_CASE("a range of slots for what has no processes is said before anything starts") {
  cluster c;
  for (const std::string service : {"builtin:echo", "cmd:cat"}) {
    const auto said =
        c.run({"worker", "--service", "h=" + service, "--set", "h.slots=1..4", "--check"});
    CHECK(said.status == 2);
    CHECK(said.err.find("a range is for handlers that stay up (exec:)") != std::string::npos);
  }
}
