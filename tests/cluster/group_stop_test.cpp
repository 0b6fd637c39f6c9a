#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>

using namespace ropewalk;

/// A stop that reaches everything that there is of a worker: master, nodes, spawners and the programs
/// that run, as a service manager does that signals every process of a service (systemd's
/// KillMode=control-group).

namespace {

using strings = std::vector<std::string>;

// A process and all below it, from the top.
std::vector<pid_t> family_of(pid_t top) {
  std::vector<pid_t> result{top};
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto below = children_of(result[i]);
    result.insert(result.end(), below.begin(), below.end());
  }
  return result;
}

enum class order { parents_first, programs_first };

void stop_all(const process& worker, int number, order first) {
  auto all = family_of(worker.pid());
  if (first == order::programs_first) std::reverse(all.begin(), all.end());
  for (const auto pid : all) ::kill(pid, number);
}

std::size_t lines_in(const std::string& path) {
  std::ifstream in{path};
  return static_cast<std::size_t>(
      std::count(std::istreambuf_iterator<char>{in}, std::istreambuf_iterator<char>{}, '\n'));
}

// Two workers of which each, when it runs the message, is stopped with all that there is of it; and
// a third, that has time for it.
struct stopped_twice {
  explicit stopped_twice(const std::string& program, int processes) {
    options = {"--service",
               "run=cmd:sh -c 'echo $ROPEWALK_ATTEMPT >> " + marks + "; " + program + "'",
               "--slots", "1"};
    if (processes > 0) options.insert(options.end(), {"--processes", std::to_string(processes)});
    node_count = static_cast<std::size_t>(std::max(processes, 1));
  }

  process& start(const std::string& name) {
    auto& worker = c.start_node(name, options);
    REQUIRE(c.has_nodes(node_count));
    return worker;
  }

  cluster c;
  std::string marks = c.folder() + "/marks";
  strings options;
  std::size_t node_count = 1;
};

} // namespace

TEST_CASE("a stop signal to a worker and its programs charges no message") {
  const int processes = GENERATE(0, 2);
  const auto first = GENERATE(order::parents_first, order::programs_first);
  const int number = GENERATE(SIGTERM, SIGINT);
  // Killed by it; a shell that says how what it waited for has ended.
  const std::string program = GENERATE("exec sleep 0.6", "sleep 0.6; exit $?");
  CAPTURE(processes, first == order::parents_first, number, program);
  stopped_twice s{program, processes};
  auto connection = s.c.connect();
  request_options twice;
  twice.timeout = 60s;
  twice.attempts = std::uint8_t{2};
  auto* worker = &s.start("w0");
  connection.send("run", {}, twice);
  connection.flush();
  for (std::size_t round = 1; round <= 2; ++round) {
    REQUIRE(eventually([&] { return lines_in(s.marks) == round; }));
    stop_all(*worker, number, first);
    REQUIRE(worker->wait(10s) == 0);
    CHECK(worker->log().find("fell") == std::string::npos);
    CHECK(worker->log().find("at once") == std::string::npos);
    REQUIRE(s.c.has_nodes(0));
    worker = &s.start("w" + std::to_string(round));
  }
  const auto answer = connection.wait(20s);
  REQUIRE(answer);
  INFO(answer->payload.view());
  CHECK(answer->code == error_code::ok);
  std::ifstream in{s.marks};
  std::string text{std::istreambuf_iterator<char>{in}, {}};
  CHECK(text == "1\n2\n3\n"); // handlers see which start it is
  CHECK(s.c.status()["restarts"] == 0);
}

TEST_CASE("a stop signal to a worker and its programs starts nothing twice that may run once") {
  stopped_twice s{"exec sleep 0.6", 0};
  auto connection = s.c.connect();
  request_options once;
  once.timeout = 60s;
  once.attempts = std::uint8_t{1};
  auto& worker = s.start("w0");
  connection.send("run", {}, once);
  connection.flush();
  REQUIRE(eventually([&] { return lines_in(s.marks) == 1; }));
  stop_all(worker, SIGTERM, order::programs_first);
  s.c.start_node("w1", s.options);
  const auto answer = connection.wait(20s);
  REQUIRE(answer);
  CHECK(answer->code == error_code::worker_lost);
  CHECK(lines_in(s.marks) == 1);
}

TEST_CASE("a program that is stopped by itself, while its node stays, is charged as ever") {
  stopped_twice s{"kill -TERM $$", 0};
  s.start("w0");
  auto connection = s.c.connect();
  const auto answer = connection.call("run", "");
  CHECK(answer.code == error_code::worker_lost);
  CHECK(lines_in(s.marks) == 3);
}
