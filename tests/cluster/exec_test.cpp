#include "tests/cluster/exec_handler.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <unistd.h>

using namespace ropewalk;

namespace fs = std::filesystem;

// What clients, the log and the status say of what handlers that stay up do, well or badly.

TEST_CASE("a program that stays up answers one request after the other") {
  cluster c;
  c.start_node("a", node_of({"--slots", "2"}));
  auto connection = ready_client(c);
  std::set<std::string> pids;
  for (int i = 0; i < 100; ++i) pids.insert(ask(connection, "pid"));
  CHECK(pids.size() <= 2);
  CHECK(ask(connection, "fail it is wrong") == "FAILED it is wrong");
  CHECK(ask(connection, "attempt") == "OK 1");
  const auto left = ask(connection, "left", {.timeout = 5s});
  CHECK(std::stoi(left.substr(3)) > 3000);
  CHECK(std::stoi(left.substr(3)) <= 5000);
  const std::string large(2'000'000, 'y');
  CHECK(ask(connection, "echo " + large) == "OK " + large);
  CHECK(ask(connection, "echo ") == "OK ");
}

TEST_CASE("several processes share the slots of a service, each with as many as it takes") {
  cluster c;
  auto& node = c.start_node(
      "a", node_of({"--set", "h.slots=16", "--set", "h.processes=2"}, "--concurrency 8"));
  auto connection = ready_client(c);
  REQUIRE(eventually([&] {
    const auto log = node.log();
    return log.find("process 0 is ready, for 8") != std::string::npos &&
           log.find("process 1 is ready, for 8") != std::string::npos;
  }));
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 16; ++i) connection.send("h", shared_bytes::copy_of("sleep 500"));
  for (int i = 0; i < 16; ++i) REQUIRE(text(connection.wait(10s)) == "OK slept");
  CHECK(std::chrono::steady_clock::now() - began < 950ms * time_factor); // not one by one
}

TEST_CASE("threads of a node are as many with a thousand requests at a time as with one") {
  cluster c;
  auto& node = c.start_node(
      "a", node_of({"--set", "h.slots=1000", "--set", "h.processes=1"}, "--concurrency 1000"));
  auto connection = ready_client(c);
  const auto threads = [&] {
    fs::directory_iterator all{"/proc/" + std::to_string(node.pid()) + "/task"};
    return std::distance(begin(all), end(all));
  };
  const auto before = threads();
  for (int i = 0; i < 1000; ++i) connection.send("h", shared_bytes::copy_of("sleep 1000"));
  REQUIRE(connection.flush());
  REQUIRE(eventually([&] { return c.status()["in_flight"] >= 900; }));
  CHECK(threads() == before);
  for (int i = 0; i < 1000; ++i) REQUIRE(text(connection.wait(20s)) == "OK slept");
}

TEST_CASE("a program that takes long to start costs nobody anything: others answer meanwhile") {
  cluster c;
  c.start_node("slow", node_of({"--slots", "2"}, "--start 3"));
  c.start_node("a", node_of({"--slots", "1"}));
  REQUIRE(c.has_nodes(2));
  auto connection = c.connect();
  for (int i = 0; i < 50; ++i) {
    const auto began = std::chrono::steady_clock::now();
    REQUIRE(ask(connection, "echo hi", {.timeout = 20s}) == "OK hi");
    if (i > 0) CHECK(std::chrono::steady_clock::now() - began < 1500ms * time_factor);
  }
  CHECK(c.status()["restarts"] == 0);
}

TEST_CASE("a handler that dies is charged to the message that ran there, and is started again") {
  const auto [message, why] = GENERATE(std::pair<std::string, std::string>{"die 11", "signal 11"},
                                       std::pair<std::string, std::string>{"die 9", "signal 9"},
                                       std::pair<std::string, std::string>{"exit 3", "status 3"},
                                       std::pair<std::string, std::string>{"exit 0", "status 0"});
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "1"}));
  auto connection = ready_client(c);
  const auto answer = ask(connection, message);
  CHECK(answer.find("WORKER_LOST its worker was lost 3 times") == 0);
  CHECK(answer.find(why) != std::string::npos);
  CHECK(ask(connection, "echo again") == "OK again");
  CHECK(node.says(why));
  CHECK(eventually([&] { return c.status()["restarts"] == 3; }));
}

TEST_CASE(
    "what breaks the protocol is quoted in the log, the process replaced, and nobody else hurt") {
  const auto [message, quoted] =
      GENERATE(std::pair<std::string, std::string>{"garbage", "no frame"},
               std::pair<std::string, std::string>{"unasked", "nobody asked"},
               std::pair<std::string, std::string>{"close", "closed its channel and lives on"});
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "2"}));
  auto connection = ready_client(c);
  connection.send("h", shared_bytes::copy_of("sleep 700")); // in the other process
  REQUIRE(connection.flush());
  auto other = c.connect();
  const auto answer = ask(other, message, {.attempts = std::uint8_t{1}});
  INFO(answer);
  CHECK(answer.find("WORKER_LOST") == 0);
  CHECK(answer.find(quoted) != std::string::npos);
  CHECK(text(connection.wait(10s)) == "OK slept");
  CHECK(node.says(quoted));
  CHECK(ask(other, "echo again") == "OK again");
}

TEST_CASE("an answer that comes twice is one answer") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "1"}));
  auto connection = ready_client(c);
  CHECK(ask(connection, "twice") == "OK once");
  CHECK(ask(connection, "echo again") == "OK again");
  CHECK(node.says("or twice: 'twice'"));
}

TEST_CASE(
    "a handler that stops in the middle of a frame, or never answers, is ended at the deadline "
    "and what it was told for stopping, and only it") {
  const auto message = GENERATE(std::string{"half"}, std::string{"deaf 100000"});
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "1", "--set", "h.stop-timeout=200ms"}));
  auto connection = ready_client(c);
  const auto pid = ask(connection, "pid");
  CHECK(ask(connection, message, {.timeout = 300ms}).find("TIMEOUT") == 0);
  CHECK(ask(connection, "echo again") == "OK again");
  CHECK(ask(connection, "pid") != pid);
  CHECK(node.says("did not answer a request in time"));
}

TEST_CASE("a handler that stops when it is told goes on living") {
  cluster c;
  c.start_node("a", node_of({"--slots", "1"}));
  auto connection = ready_client(c);
  const auto pid = ask(connection, "pid");
  CHECK(ask(connection, "sleep 100000", {.timeout = 300ms}).find("TIMEOUT") == 0);
  const auto id = connection.send("h", shared_bytes::copy_of("sleep 100000"));
  REQUIRE(connection.flush());
  REQUIRE(eventually([&] { return c.status()["in_flight"] == 1; }));
  connection.cancel(id);
  CHECK(text(connection.wait(5s)).find("CANCELLED") == 0);
  CHECK(ask(connection, "pid") == pid);
}

TEST_CASE(
    "a handler that is busy has its request given to another, which is not charged for that") {
  cluster c;
  c.start_node("a", node_of({"--slots", "1"}));
  auto connection = ready_client(c);
  const auto answer = ask(connection, "busy", {.timeout = 500ms});
  CHECK(answer.find("TIMEOUT") == 0);
  CHECK(c.status()["redispatched"] == 0);
  CHECK(ask(connection, "echo again") == "OK again");
}

TEST_CASE("whatever a handler prints is log, and hurts nobody") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "1"}));
  auto connection = ready_client(c);
  CHECK(ask(connection, "print the model is warm") == "OK printed");
  CHECK(node.says("says: the model is warm"));
  for (int i = 0; i < 20; ++i) {
    REQUIRE(ask(connection, "noise 1048576") == "OK noisy");
    REQUIRE(ask(connection, "echo hi") == "OK hi");
  }
  CHECK(node.log().size() < 500'000);
}

TEST_CASE("a handler that closes its output goes on, and costs no processor time") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "1"}));
  auto connection = ready_client(c);
  const auto pid = ask(connection, "pid");
  CHECK(ask(connection, "mute") == "OK mute");
  const auto used = [&] {
    std::ifstream in{"/proc/" + std::to_string(node.pid()) + "/stat"};
    std::string word;
    for (int i = 0; i < 13; ++i) in >> word;
    long user = 0;
    long system = 0;
    in >> user >> system;
    return user + system; // ticks of 10 ms
  };
  const auto before = used();
  CHECK(ask(connection, "sleep 1000") == "OK slept");
  CHECK(used() - before < 30 * time_factor); // a loop that spins would take 100
  CHECK(ask(connection, "pid") == pid);
}

TEST_CASE("a message at the cap reaches its handler, and one that is a byte over does not") {
  cluster c{{"--max-message-bytes", "100000"}};
  c.start_node("a", node_of({"--slots", "1", "--max-message-bytes", "100000"}));
  auto connection = ready_client(c);
  const std::string text(100'000 - 5, 'x');
  CHECK(ask(connection, "echo " + text) == "OK " + text);
  CHECK(ask(connection, "echo " + text + "x").find("TOO_LARGE") == 0);
  CHECK(ask(connection, "large 100000") == "OK " + std::string(100'000, 'x'));
  CHECK(ask(connection, "large 100001").find("TOO_LARGE") == 0);
}

TEST_CASE(
    "a node without descriptors for its processes says so, and answers by those that it has") {
  cluster c;
  const auto command = "ulimit -n 48; exec " ROPEWALK_PROGRAM " worker --name a --broker " +
                       c.nodes().text() + " --set h.slots=20 --service '" + handler() + "'";
  process node{{"/bin/sh", "-c", command}, c.folder() + "/few.log"};
  auto connection = ready_client(c);
  load l{c.connect(), "h", 200, 40, [](std::uint64_t) { return std::string{"echo x"}; }};
  l.expects_echo = false;
  l.run(60s);
  CHECK(l.answered == 200);
  CHECK(l.errors.empty());
  CHECK(node.says("ulimit -n"));
}

TEST_CASE("a reply over the cap is TOO_LARGE, and the handler goes on") {
  cluster c;
  c.start_node("a", node_of({"--slots", "1"}));
  auto connection = ready_client(c);
  const auto pid = ask(connection, "pid");
  CHECK(ask(connection, "large 3000000").find("TOO_LARGE") == 0);
  CHECK(ask(connection, "large 2000000").size() == 2'000'003);
  CHECK(ask(connection, "pid") == pid);
}

TEST_CASE("one poison request among many in a process is found: nobody else is refused") {
  cluster c;
  c.start_node("a", node_of({"--set", "h.slots=16", "--set", "h.processes=2"}, "--concurrency 8"));
  auto connection = ready_client(c);
  std::set<std::uint64_t> poison;
  constexpr int count = 400;
  for (int i = 0; i < count; ++i) {
    const auto id = connection.send("h", shared_bytes::copy_of(i % 100 == 50 ? "die 11"
                                                               : i % 10 == 0 ? "sleep 20"
                                                                             : "echo hi"));
    if (i % 100 == 50) poison.insert(id);
  }
  for (int i = 0; i < count; ++i) {
    const auto answer = connection.wait(60s);
    REQUIRE(answer);
    INFO(text(answer));
    REQUIRE((answer->code == error_code::worker_lost) == poison.contains(answer->id));
    if (poison.contains(answer->id)) CHECK(text(answer).find("3 times") != std::string::npos);
  }
}

TEST_CASE("after a suspect has run alone, its process takes as many as before") {
  cluster c;
  c.start_node("a", node_of({"--set", "h.slots=8", "--set", "h.processes=1"}, "--concurrency 8"));
  auto connection = ready_client(c);
  for (int i = 0; i < 7; ++i) connection.send("h", shared_bytes::copy_of("sleep 300"));
  connection.send("h", shared_bytes::copy_of("die 11"));
  std::set<std::string> answers;
  for (int i = 0; i < 8; ++i) answers.insert(text(connection.wait(60s)).substr(0, 8));
  CHECK(answers == std::set<std::string>{"OK slept", "WORKER_L"});
  REQUIRE(ask(connection, "echo ready") == "OK ready"); // its process has been started again
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 8; ++i) connection.send("h", shared_bytes::copy_of("sleep 1000"));
  for (int i = 0; i < 8; ++i) REQUIRE(text(connection.wait(20s)) == "OK slept");
  CHECK(std::chrono::steady_clock::now() - began < 1900ms * time_factor); // and not one by one
}

TEST_CASE("each answer is to the request that it is for, whatever dies meanwhile") {
  cluster c;
  c.start_node(
      "a", node_of({"--set", "h.slots=8", "--set", "h.processes=2", "--set", "h.recycle-after=50"},
                   "--concurrency 4"));
  auto connection = ready_client(c);
  load l{c.connect(), "h", 4000, 16, [](std::uint64_t id) { return "echo " + std::to_string(id); }};
  l.expects_echo = false;
  std::uint64_t wrong = 0;
  auto other = c.connect();
  std::map<std::uint64_t, std::string> asked;
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 20; ++i) {
      const auto text = std::to_string(round * 100 + i);
      asked[other.send("h", shared_bytes::copy_of("echo " + text))] = text;
    }
    other.send("h", shared_bytes::copy_of("die 9"), {.attempts = std::uint8_t{1}});
    for (int i = 0; i < 21; ++i) {
      const auto answer = other.wait(60s);
      REQUIRE(answer);
      const auto found = asked.find(answer->id);
      if (found == asked.end()) continue; // the one that kills
      if (answer->code != error_code::ok || answer->payload.view() != found->second) ++wrong;
    }
  }
  CHECK(wrong == 0);
  l.run(60s);
  CHECK(l.answered == 4000);
  CHECK(l.twice == 0);
}

TEST_CASE("a process that hangs with one request gives the others back, and they are not charged") {
  cluster c;
  c.start_node("a", node_of({"--set", "h.slots=4", "--set", "h.processes=1", "--set",
                             "h.stop-timeout=100ms"},
                            "--concurrency 4"));
  auto connection = ready_client(c);
  connection.send("h", shared_bytes::copy_of("deaf 100000"), {.timeout = 300ms});
  std::set<std::uint64_t> others;
  for (int i = 0; i < 3; ++i)
    others.insert(connection.send("h", shared_bytes::copy_of("sleep 700"), {.timeout = 20s}));
  for (int i = 0; i < 4; ++i) {
    const auto answer = connection.wait(30s);
    REQUIRE(answer);
    INFO(text(answer));
    CHECK((answer->code == error_code::ok) == others.contains(answer->id));
  }
}
