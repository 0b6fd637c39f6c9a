#include "net/client/reconnecting_client.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/free_ports.hpp"
#include "tests/cluster/processes.hpp"

#include <algorithm>
#include <csignal>
#include <memory>

using namespace ropewalk;

/// A broker that is told to stop makes room for the next one at once, and a client that wants to
/// finds that.

namespace {

// The next broker, on the ports of the one that drains.
class next_broker {
public:
  next_broker(const cluster& c, const std::vector<std::string>& options)
      : process_(words(c, options), c.folder() + "/next.log") {
    if (!process_.says("ready: ")) FAIL("the next broker does not start:\n" << process_.log());
  }
  [[nodiscard]] process& running() { return process_; }

private:
  static std::vector<std::string> words(const cluster& c, const std::vector<std::string>& options) {
    std::vector<std::string> result{ROPEWALK_PROGRAM,   "broker",    "--listen",
                                    c.clients().text(), "--cluster", c.nodes().text()};
    result.insert(result.end(), options.begin(), options.end());
    return result;
  }

  process process_;
};

void check_restart(const std::vector<std::string>& broker_options,
                   const std::vector<std::string>& node_options) {
  cluster c{broker_options, free_ports(2)};
  for (const auto* name : {"a", "b"}) {
    std::vector<std::string> options{
        "--service", "sleep=builtin:sleep", "--service", "echo=builtin:echo", "--slots", "1"};
    options.insert(options.end(), node_options.begin(), node_options.end());
    c.start_node(name, options);
  }
  const std::size_t nodes = node_options.empty() ? 2 : 6;
  REQUIRE(c.has_nodes(nodes));
  auto busy = c.connect();
  const auto asked = busy.send("sleep", shared_bytes::copy_of("12000"));
  busy.flush();
  REQUIRE(eventually([&] { return c.status()["in_flight"] == 1; }));
  c.broker().signal(SIGTERM);
  REQUIRE(c.broker().says("the ports are free for the next broker"));
  const auto begin = std::chrono::steady_clock::now();
  next_broker next{c, broker_options};
  // All nodes but the one that still works for the old broker are the next one's now. (With shards
  // that one, too: it works for one of the old broker's, and the others have let it go.)
  REQUIRE(eventually([&] { return c.status()["nodes"].size() >= nodes - 1; }, 9s));
  REQUIRE(c.connect().call("echo", "hi").payload.view() == "hi");
  CHECK(std::chrono::steady_clock::now() - begin < 10s);
  CHECK_FALSE(c.broker().wait(0ms));
  // The old one refuses new work, says when to come again, and keeps its word.
  busy.send("echo", shared_bytes::copy_of("late"));
  const auto refused = busy.wait(5s);
  REQUIRE(refused);
  CHECK(refused->code == error_code::draining);
  CHECK(refused->retry_after_ms > 0);
  const auto answer = busy.wait(30s);
  REQUIRE(answer);
  CHECK(answer->id == asked);
  CHECK(answer->payload.view() == "12000");
  const auto ended = c.broker().wait(10s);
  INFO(c.broker().log());
  CHECK(ended == 0);
  CHECK(c.has_nodes(nodes));
  next.running().signal(SIGTERM);
  CHECK(next.running().wait(10s) == 0);
}

} // namespace

TEST_CASE("the next broker starts while the old one drains, and has the idle nodes at once") {
  check_restart({}, {});
}

TEST_CASE("the next broker starts while the old one drains, with --processes 3") {
  check_restart({}, {"--processes", "3"});
}

TEST_CASE("the next broker starts while the old one drains, with shards") {
  check_restart({"--shards", "2"}, {});
}

TEST_CASE("send --reconnect goes on across a restart of the broker, and nothing is left out") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "4"});
  REQUIRE(c.has_nodes(1));
  for (const int how : {SIGTERM, SIGKILL}) {
    INFO("signal " << how);
    const auto log = c.folder() + "/send-" + std::to_string(how) + ".log";
    process send{{ROPEWALK_PROGRAM, "send", "sleep", "--data", "20", "--count", "300", "--window",
                  "4", "--reconnect", "20s", "--broker", c.clients().text()},
                 log};
    REQUIRE(eventually([&] { return c.status()["answered"] > 50; }));
    c.broker().signal(how);
    REQUIRE(c.broker().wait(20s));
    c.restart_broker();
    CHECK(send.wait(60s) == 0);
    const auto said = send.log();
    CHECK(std::count(said.begin(), said.end(), '\n') == 300);
    REQUIRE(c.has_nodes(1));
  }
}

TEST_CASE(
    "send without --reconnect says at once that the broker went away, and one that is to run at "
    "most once is not sent again") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "4"});
  REQUIRE(c.has_nodes(1));
  auto start = [&](const std::string& name, const std::vector<std::string>& more) {
    std::vector<std::string> words{ROPEWALK_PROGRAM, "send",     "sleep",           "--data",
                                   "20000",          "--broker", c.clients().text()};
    words.insert(words.end(), more.begin(), more.end());
    return std::make_unique<process>(words, c.folder() + "/" + name + ".log");
  };
  const auto plain = start("plain", {});
  const auto once = start("once", {"--attempts", "1", "--reconnect", "20s"});
  REQUIRE(eventually([&] { return c.status()["in_flight"] == 2; }));
  c.restart_broker();
  CHECK(plain->wait(10s) == 3);
  CHECK(plain->log().find("the broker closed the connection") != std::string::npos);
  CHECK(once->wait(20s) == 1);
  CHECK(once->log().find("CONNECTION_LOST") != std::string::npos);
}

TEST_CASE("send --reconnect waits for a broker that is not there yet") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  c.broker().signal(SIGTERM);
  REQUIRE(c.broker().wait(10s) == 0);
  process send{{ROPEWALK_PROGRAM, "status", "--wait", "20s", "--expect-nodes", "1", "--broker",
                c.clients().text()},
               c.folder() + "/status.log"};
  process early{{ROPEWALK_PROGRAM, "send", "echo", "--data", "x", "--reconnect", "20s", "--broker",
                 c.clients().text()},
                c.folder() + "/early.log"};
  REQUIRE_FALSE(early.wait(300ms));
  c.start_broker();
  CHECK(send.wait(20s) == 0);
  REQUIRE(early.wait(20s) == 0);
  CHECK(early.log() == "x");
}
