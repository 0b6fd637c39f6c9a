#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <csignal>
#include <fstream>
#include <thread>

using namespace ropewalk;

namespace {

std::string numbered(std::uint64_t id) {
  return "message " + std::to_string(id);
}

// Connections to the broker's local socket, as its side sees them.
int local_connections(const cluster& c) {
  std::ifstream list{"/proc/net/unix"};
  int result = 0;
  for (std::string line; std::getline(list, line);)
    if (line.ends_with("@ropewalk 1/" + c.nodes().text()) && line.find(" 0001 03 ") != line.npos)
      ++result;
  return result;
}

bool shares_memory(const process& p) {
  std::ifstream maps{"/proc/" + std::to_string(p.pid()) + "/maps"};
  for (std::string line; std::getline(maps, line);)
    if (line.find("memfd:ropewalk") != line.npos) return true;
  return false;
}

} // namespace

TEST_CASE("a message goes through a worker process and back") {
  cluster c;
  c.start_node("a", {"--service", "up=builtin:upper", "--service", "sum=cmd:sha256sum"});
  REQUIRE(c.has_nodes(1));
  const auto up = c.run({"send", "up", "--broker", c.clients().text(), "--data", "hello"});
  REQUIRE(up.out == "HELLO");
  REQUIRE(up.status == 0);
  const auto sum = c.run({"send", "sum", "--broker", c.clients().text(), "--data", "abc"});
  REQUIRE(sum.out == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n");
}

TEST_CASE("a node takes the local socket of a broker on its machine, and shares memory with it, "
          "unless it is told not to") {
  const bool tcp = GENERATE(false, true);
  cluster c;
  std::vector<std::string> options{"--service", "echo=builtin:echo"};
  if (tcp) options.emplace_back("--tcp-only");
  c.start_node("a", options);
  REQUIRE(c.has_nodes(1));
  REQUIRE(local_connections(c) == (tcp ? 0 : 1));
  REQUIRE(shares_memory(c.broker()) == !tcp);
  load l{c.connect(), "echo", 300, 8,
         [](std::uint64_t id) { return std::string(id * 1000, static_cast<char>('a' + id % 26)); }};
  l.run(30s);
  REQUIRE(l.answered == 300);
  REQUIRE(l.wrong == 0);
}

TEST_CASE("messages of every size up to the cap come back as they went") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo", "--service", "cat=cmd:cat"});
  REQUIRE(c.has_nodes(1));
  for (const auto* service : {"echo", "cat"}) {
    auto connection = c.connect();
    for (const std::size_t size : {0u, 1u, 16'383u, 16'384u, 100'000u, 2u << 20}) {
      std::string message(size, '\0');
      for (std::size_t i = 0; i < size; ++i) message[i] = static_cast<char>(i * 131 >> 3);
      const auto answer = connection.call(service, message);
      REQUIRE(answer.code == error_code::ok);
      REQUIRE((answer.payload.view() == message));
    }
  }
}

TEST_CASE("four nodes share the messages") {
  cluster c;
  for (const auto* name : {"a", "b", "c", "d"})
    c.start_node(name, {"--service", "sleep=builtin:sleep", "--slots", "2"});
  REQUIRE(c.has_nodes(4));
  load l{c.connect(), "sleep", 400, 32, [](std::uint64_t) { return "5"; }};
  l.run(30s);
  REQUIRE(l.answered == 400);
  const auto s = c.status();
  for (const auto& node : s["nodes"]) {
    INFO(node.dump());
    REQUIRE(node["answered"] >= 60);
  }
}

TEST_CASE("answers come back as they are ready, not in the order of the requests") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto slow = connection.send("sleep", shared_bytes::copy_of("500"));
  const auto quick = connection.send("sleep", shared_bytes::copy_of("1"));
  REQUIRE(connection.wait(10s)->id == quick);
  REQUIRE(connection.wait(10s)->id == slow);
}

TEST_CASE("short messages do not wait behind a long one while a slot elsewhere is free") {
  cluster c;
  for (const auto* name : {"a", "b"})
    c.start_node(name, {"--service", "sleep=builtin:sleep", "--slots", "1"});
  REQUIRE(c.has_nodes(2));
  load warm{c.connect(), "sleep", 5000, 100,
            [](std::uint64_t) { return "0"; }}; // now both are known to be fast
  warm.run(10s);
  REQUIRE(warm.answered == 5000);
  auto connection = c.connect();
  const auto start = std::chrono::steady_clock::now();
  const auto slow = connection.send("sleep", shared_bytes::copy_of("3000"));
  for (int i = 0; i < 500; ++i) connection.send("sleep", shared_bytes::copy_of("0"));
  for (int i = 0; i < 500; ++i) {
    const auto answer = connection.wait(10s);
    REQUIRE(answer);
    REQUIRE(answer->id != slow);
  }
  CHECK(std::chrono::steady_clock::now() - start < 500ms * time_factor);
  REQUIRE(connection.wait(10s)->id == slow);
}

TEST_CASE(
    "a handler that was quick and then takes long stops neither its node nor its neighbours") {
  cluster c;
  c.start_node(
      "a", {"--service", "sleep=builtin:sleep", "--service", "echo=builtin:echo", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto quick = c.connect();
  for (int i = 0; i < 200; ++i) REQUIRE(quick.call("sleep", "0").code == error_code::ok);
  auto slow = c.connect();
  slow.send("sleep", shared_bytes::copy_of("4500")); // longer than a node may be silent
  slow.flush();
  std::this_thread::sleep_for(50ms); // nothing else is on its way when it starts
  for (int i = 0; i < 40; ++i) {
    const auto before = std::chrono::steady_clock::now();
    REQUIRE(quick.call("echo", "x").code == error_code::ok);
    REQUIRE(std::chrono::steady_clock::now() - before < 1s * time_factor);
    std::this_thread::sleep_for(100ms);
  }
  const auto answer = slow.wait(10s);
  REQUIRE(answer);
  REQUIRE(answer->code == error_code::ok);
  REQUIRE(c.status()["redispatched"] == 0);
}

TEST_CASE("a node that starts before its broker joins when there is one") {
  cluster c;
  const auto port = c.nodes();
  c.broker().signal(SIGKILL);
  REQUIRE(c.broker().wait(5s));
  auto& node = c.start_node("early", {"--service", "echo=builtin:echo"});
  REQUIRE(node.says("no broker at"));
  c.restart_broker();
  REQUIRE(c.nodes() == port);
  REQUIRE(c.has_nodes(1, 5s));
}

TEST_CASE("nodes outlive their broker and join the next one within two seconds") {
  cluster c;
  for (const auto* name : {"a", "b"}) c.start_node(name, {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(2));
  for (int round = 0; round < 3; ++round) {
    c.broker().signal(SIGKILL);
    REQUIRE(c.broker().wait(5s));
    c.restart_broker();
    REQUIRE(c.has_nodes(2, 2s * time_factor));
    load l{c.connect(), "echo", 100, 10, numbered};
    l.run(10s);
    REQUIRE(l.answered == 100);
  }
}

TEST_CASE("a client whose broker dies is told at once") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  connection.send("sleep", shared_bytes::copy_of("60000"));
  connection.flush();
  REQUIRE(eventually([&] { return c.status()["in_flight"] == 1; }));
  c.broker().signal(SIGKILL);
  REQUIRE_FALSE(connection.wait(5s));
  REQUIRE(connection.closed());
}

TEST_CASE("ropewalk status says what the broker has") {
  cluster c;
  c.start_node("left",
               {"--service", "echo=builtin:echo", "--service", "up=builtin:upper", "--slots", "3"});
  REQUIRE(c.has_nodes(1));
  const auto table = c.run({"status", "--broker", c.clients().text()});
  REQUIRE(table.out.find("left") != std::string::npos);
  const auto s =
      nlohmann::json::parse(c.run({"status", "--json", "--broker", c.clients().text()}).out);
  for (const auto* key : {"nodes", "in_flight", "queued", "restarts", "redispatched"})
    REQUIRE(s.contains(key));
  const auto& node = s["nodes"][0];
  for (const auto* key : {"name", "pid", "address", "services", "slots", "in_flight", "answered"})
    REQUIRE(node.contains(key));
  REQUIRE(node["services"] == nlohmann::json{"echo", "up"});
  REQUIRE(node["slots"] == 6);
}

TEST_CASE("ropewalk send repeats a message in a window, and says what went wrong") {
  cluster c;
  c.start_node("a", {"--service", "up=builtin:upper", "--service", "fail=builtin:fail", "--service",
                     "sleep=builtin:sleep"});
  REQUIRE(c.has_nodes(1));
  const auto where = c.clients().text();
  const auto many =
      c.run({"send", "up", "--broker", where, "--data", "x", "--count", "1000", "--window", "50"});
  REQUIRE(many.status == 0);
  REQUIRE(many.out.size() == 2000);
  const auto failed = c.run({"send", "fail", "--broker", where, "--data", "the reason"});
  REQUIRE(failed.status == 1);
  REQUIRE(failed.err == "FAILED: the reason\n");
  REQUIRE(failed.out.empty());
  const auto late =
      c.run({"send", "sleep", "--broker", where, "--data", "5000", "--timeout", "100ms"});
  REQUIRE(late.status == 1);
  REQUIRE(late.err.starts_with("TIMEOUT: "));
  const auto unknown = c.run({"send", "nope", "--broker", where, "--data", "x"});
  REQUIRE(unknown.status == 1);
  REQUIRE(unknown.err.find("no worker has offered service 'nope'") != std::string::npos);
  const auto nobody = c.run({"send", "up", "--broker", "127.0.0.1:1", "--data", "x"});
  REQUIRE(nobody.status == 3);
  REQUIRE(nobody.err.find("is the broker running?") != std::string::npos);
}

TEST_CASE("a reply that cannot be written, as on a full disk, is no success") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  process shell{{"/bin/sh", "-c",
                 std::string{ROPEWALK_PROGRAM} + " send echo --data x --broker " +
                     c.clients().text() + " >/dev/full"},
                c.folder() + "/full.log"};
  REQUIRE(shell.wait(10s) == 4);
  REQUIRE(shell.says("is the disk full?"));
}

TEST_CASE("ropewalk bench counts and verifies every message") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  c.start_node("b", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(2));
  for (const auto* size : {"64", "70000"}) {
    const auto result =
        c.run({"bench", "echo", "--broker", c.clients().text(), "--size", size, "--window", "16",
               "--connections", "4", "--seconds", "0.5", "--json"});
    INFO(result.out << result.err);
    REQUIRE(result.status == 0);
    const auto j = nlohmann::json::parse(result.out);
    REQUIRE(j["sent"] == j["answered"]);
    REQUIRE(j["answered"] > 0);
    REQUIRE(j["errors"].empty());
    REQUIRE(j["messages_per_second"] > 0);
    REQUIRE(j["megabytes_per_second"] > 0);
    double before = 0;
    for (const auto* q : {"p50", "p90", "p99", "p99_9", "max"}) {
      REQUIRE(j["latency_us"][q] >= before);
      before = j["latency_us"][q];
    }
  }
}

TEST_CASE("ropewalk bench sends what it is told to, over as many connections as it is told to") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep"});
  REQUIRE(c.has_nodes(1));
  const auto result =
      c.run({"bench", "sleep", "--broker", c.clients().text(), "--data", "1", "--window", "1",
             "--connections", "1500", "--seconds", "0.5", "--json"});
  INFO(result.out << result.err);
  REQUIRE(result.status == 0); // more connections than a shell's 1,024 descriptors
  const auto j = nlohmann::json::parse(result.out);
  REQUIRE(j["sent"] == j["answered"]);
  REQUIRE(j["answered"] >= 1500);
  REQUIRE(j["latency_us"]["p50"] >= 1000);
}

TEST_CASE("wrong command lines are refused with a sentence that helps") {
  cluster c;
  const auto handler = c.run({"worker", "--service", "x=builtin:nope"});
  REQUIRE(handler.status == 2);
  REQUIRE(handler.err.find("echo, fail") != std::string::npos);
  const auto twice =
      c.run({"worker", "--service", "x=builtin:echo", "--service", "x=builtin:upper"});
  REQUIRE(twice.err.find("named twice") != std::string::npos);
  const auto open = c.run({"broker", "--listen", "127.0.0.1:0", "--cluster", "0.0.0.0:0"});
  REQUIRE(open.status == 2);
  REQUIRE(open.err.find("--insecure-cluster") != std::string::npos);
  const auto taken = c.run({"broker", "--listen", c.clients().text(), "--cluster", "127.0.0.1:0"});
  REQUIRE(taken.status == 1);
  REQUIRE(taken.err.find("another process listens there") != std::string::npos);
  REQUIRE(c.run({"broker", "--listen", "nonsense"}).status == 2);
  REQUIRE(c.run({"broker", "--queue", "0"}).status == 2);
}
