#include "tests/cluster/exec_handler.hpp"

#include <csignal>
#include <filesystem>

using namespace ropewalk;

namespace fs = std::filesystem;

// Handlers that are no good neighbours, and those that speak over stdin and stdout: what the client,
// the log and the status say. (Garbage, half a frame, never an answer, a closed channel, a death at
// every start: exec_test.cpp and exec_processes_test.cpp. Memory: exec_options_test.cpp.)

namespace {

std::ptrdiff_t descriptors_of(const process& node) {
  fs::directory_iterator all{"/proc/" + std::to_string(node.pid()) + "/fd"};
  return std::distance(begin(all), end(all));
}

} // namespace

TEST_CASE("a program that can only do stdin and stdout is a handler over these, stderr is log") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "2", "--set", "h.channel=stdio"}, "--stdio"));
  auto connection = ready_client(c);
  const std::string large(2'000'000, 'y');
  CHECK(ask(connection, "echo " + large) == "OK " + large);
  CHECK(ask(connection, "fail it is wrong") == "FAILED it is wrong");
  load l{c.connect(), "h", 2000, 8, [](std::uint64_t) { return std::string{"echo x"}; }};
  l.expects_echo = false;
  l.run(30s);
  CHECK(l.answered == 2000);

  const auto lost = ask(connection, "print epoch 1 done", {.attempts = std::uint8_t{1}});
  CHECK(lost.find("WORKER_LOST") == 0);
  CHECK(lost.find("no frame, 'epoch 1 done") != std::string::npos);
  CHECK(node.says("no frame, 'epoch 1 done"));
  CHECK(ask(connection, "echo again") == "OK again");
}

TEST_CASE("what a program says at its end stands in one line of the log") {
  cluster c;
  auto& node = c.start_node(
      "a", {"--service", "h=exec:sh -c 'printf \"one\\n\\ntwo\\n\" >&2; exit 3'", "--slots", "1"});
  CHECK(node.says(
      "process 0 ended before it was ready: it ended with exit status 3; it had said: one / two; "
      "trying again in "));
}

TEST_CASE("what a handler over stdin and stdout prints before it is ready is quoted, at once") {
  cluster c;
  auto& node = c.start_node("a", {"--service", "h=exec:sh -c 'echo hello; echo why >&2; sleep 60'",
                                  "--set", "h.channel=stdio", "--slots", "1"});
  CHECK(eventually([&] {
    return node.log().find("no frame, 'hello") != std::string::npos &&
           node.log().find("says: why") != std::string::npos;
  }));
  CHECK(node.says("trying again in"));
}

TEST_CASE("a handler that opens files without end hurts itself, and not its node") {
  cluster c;
  auto& wide = c.start_node("a", node_of({"--slots", "1"}));
  auto connection = ready_client(c);
  const auto before = descriptors_of(wide);
  const auto answer = ask(connection, "files 10000"); // as far as `ulimit -n` goes here
  CHECK((answer == "OK 10000" || answer == "FAILED [Errno 24] Too many open files: '/dev/null'"));
  CHECK(ask(connection, "echo again") == "OK again");
  CHECK(descriptors_of(wide) <= before + 1);
  wide.signal(SIGTERM);
  CHECK(wide.wait(10s));

  process narrow{{"/bin/sh", "-c",
                  "ulimit -n 100; exec " ROPEWALK_PROGRAM " worker --name b --broker " +
                      c.nodes().text() + " --slots 1 --service '" + handler() + "'"},
                 c.folder() + "/narrow.log"};
  CHECK(ask(connection, "files 10000").find("FAILED [Errno 24] Too many open files") == 0);
  CHECK(ask(connection, "echo again") == "OK again");
}

TEST_CASE(
    "a handler that leaves a child behind and exits: the child is ended before the message is "
    "started again") {
  cluster c;
  c.start_node("a", node_of({"--slots", "1"}));
  auto connection = ready_client(c);
  const auto child = std::stoi(ask(connection, "fork").substr(3));
  CHECK(::kill(child, 0) == 0);
  const auto answer = ask(connection, "exit 0", {.attempts = std::uint8_t{1}});
  CHECK(answer.find("WORKER_LOST") == 0);
  CHECK(answer.find("it ended with exit status 0") != std::string::npos);
  CHECK(eventually([&] { return ::kill(child, 0) != 0; }));
  CHECK(ask(connection, "echo again") == "OK again");
  CHECK(eventually([&] { return c.status()["restarts"] == 1; }));
}

TEST_CASE("a handler that does not read any more is ended, however much waits for it") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--set", "h.slots=8", "--set", "h.processes=1", "--set",
                                          "h.stop-timeout=200ms"},
                                         "--concurrency 1"));
  auto connection = ready_client(c);
  connection.send("h", shared_bytes::copy_of("stall"), {.timeout = 500ms});
  for (int i = 0; i < 7; ++i)
    connection.send("h", shared_bytes::copy_of("echo " + std::string(2'000'000, 'x')),
                    {.timeout = 20s});
  for (int i = 0; i < 8; ++i) {
    const auto answer = connection.wait(30s);
    REQUIRE(answer);
    CHECK((answer->code == error_code::ok || answer->code == error_code::timeout));
  }
  CHECK(node.says("did not answer a request in time"));
  CHECK(ask(connection, "echo again") == "OK again");
}

TEST_CASE("a handler that takes its time to start is waited for, and ends at once with its node "
          "meanwhile") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "1"}, "--start 2"));
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(c.status()["nodes"][0]["in_flight"] == 0);
  CHECK(ask(connection, "echo hi", {.timeout = 20s}) == "OK hi");
  CHECK(node.log().find("error") == std::string::npos);

  auto& slow = c.start_node("slow", node_of({"--slots", "1"}, "--start 60"));
  REQUIRE(c.has_nodes(2));
  for (int i = 0; i < 20; ++i) CHECK(ask(connection, "echo hi") == "OK hi");
  const auto began = std::chrono::steady_clock::now();
  slow.signal(SIGTERM);
  CHECK(slow.wait(10s) == 0);
  CHECK(std::chrono::steady_clock::now() - began < 2s * time_factor);
}
