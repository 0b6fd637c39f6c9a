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

// Those of them that are a message's program: a shell, or what that waits for.
std::vector<pid_t> programs_of(pid_t top, const std::string& name) {
  auto all = family_of(top);
  std::erase_if(all, [&](pid_t pid) {
    std::ifstream in{"/proc/" + std::to_string(pid) + "/comm"};
    std::string its;
    return !(in >> its) || its != name;
  });
  return all;
}

// The program has come to where it sleeps: a shell that is stopped before that has nobody to wait for.
bool sleeps(const process& worker) {
  return !programs_of(worker.pid(), "sleep").empty();
}

enum class order { parents_first, programs_first };

void stop_all(const process& worker, int number, order first) {
  auto all = family_of(worker.pid());
  if (first == order::programs_first) std::reverse(all.begin(), all.end());
  for (const auto pid : all) ::kill(pid, number);
}

// Waits for its end. What a worker of two processes was running may have been started anew by the
// one that had not heard of its own signal yet: it is signalled as well.
std::optional<int> end_of(process& worker, int number) {
  std::optional<int> status;
  eventually([&] {
    status = worker.wait(0ms);
    for (const auto* name : {"sh", "sleep"})
      for (const auto pid : status ? std::vector<pid_t>{} : programs_of(worker.pid(), name))
        ::kill(pid, number);
    return status.has_value();
  });
  return status;
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
               "run=cmd:sh -c 'echo $ROPEWALK_ATTEMPT >> " + marks + "; test -e " + calm +
                   " && exit 0; " + program + "'",
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
  std::string calm = c.folder() + "/calm"; // there: the program comes to its end
  strings options;
  std::size_t node_count = 1;
};

} // namespace

TEST_CASE("a stop signal to a worker and its programs charges no message") {
  const int processes = GENERATE(0, 2);
  const auto first = GENERATE(order::parents_first, order::programs_first);
  const int number = GENERATE(SIGTERM, SIGINT);
  // Killed by it; a shell that says how what it waited for has ended.
  const std::string program = GENERATE("exec sleep 60", "sleep 60; exit $?");
  CAPTURE(processes, first == order::parents_first, number, program);
  stopped_twice s{program, processes};
  auto connection = s.c.connect();
  request_options twice;
  twice.timeout = 60s;
  twice.attempts = std::uint8_t{2};
  auto* worker = &s.start("w0");
  connection.send("run", {}, twice);
  connection.flush();
  for (int round = 1; round <= 2; ++round) {
    REQUIRE(eventually([&] { return sleeps(*worker); }));
    stop_all(*worker, number, first);
    REQUIRE(end_of(*worker, number) == 0);
    CHECK(worker->log().find("fell") == std::string::npos);
    CHECK(worker->log().find("at once") == std::string::npos);
    REQUIRE(s.c.has_nodes(0));
    if (round == 2) std::ofstream{s.calm};
    worker = &s.start("w" + std::to_string(round));
  }
  const auto answer = connection.wait(20s);
  REQUIRE(answer);
  INFO(answer->payload.view());
  CHECK(answer->code == error_code::ok);
  std::ifstream in{s.marks};
  int start = 0; // handlers see which it is; one may be stopped before it says so
  for (int mark = 0; in >> mark; start = mark) CHECK(mark > start);
  CHECK(start >= 3);
  CHECK(s.c.status()["restarts"] == 0);
}

TEST_CASE("a stop signal to a worker and its programs starts nothing twice that may run once") {
  stopped_twice s{"exec sleep 60", 0};
  auto connection = s.c.connect();
  request_options once;
  once.timeout = 60s;
  once.attempts = std::uint8_t{1};
  auto& worker = s.start("w0");
  connection.send("run", {}, once);
  connection.flush();
  REQUIRE(eventually([&] { return sleeps(worker); }));
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
