#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <algorithm>
#include <csignal>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

using namespace ropewalk;

/// Clocks that jump, and clocks that began to count at another time: no deadline moves.

namespace {

using strings = std::vector<std::string>;

// A broker and a worker, each started with some words before its own.
struct odd_clocks {
  odd_clocks(const strings& before_broker, const strings& before_worker) {
    broker = std::make_unique<process>(before_broker + strings{ROPEWALK_PROGRAM, "broker",
                                                               "--listen", "127.0.0.1:0",
                                                               "--cluster", "127.0.0.1:0"},
                                       folder.path() + "/broker.log");
    clients = *wait_for_endpoint("clients");
    const auto nodes = *wait_for_endpoint("nodes");
    worker = std::make_unique<process>(
        before_worker + strings{ROPEWALK_PROGRAM, "worker", "--broker", nodes.text(), "--service",
                                "sleep=builtin:sleep", "--service", "program=cmd:sleep 20",
                                "--slots", "4"},
        folder.path() + "/worker.log");
    REQUIRE(eventually([&] { return worker->log().find("joined") != std::string::npos; }, 20s));
  }

  std::optional<endpoint> wait_for_endpoint(const std::string& name) const {
    std::optional<endpoint> result;
    eventually([&] {
      const auto log = broker->log();
      const auto at = log.find(name + "=", std::min(log.find("ready: "), log.size()));
      const auto begin = at + name.size() + 1;
      const auto end = at == std::string::npos ? at : log.find_first_of(" \n", begin);
      if (end != std::string::npos) result = parse_endpoint(log.substr(begin, end - begin));
      return result.has_value();
    });
    INFO(broker->log());
    REQUIRE(result);
    return result;
  }

  // Short work is done, for longer than a lease lasts; long work ends at its deadline, neither
  // before nor long after.
  void check_deadlines() const {
    auto c = *client::connect(clients, 5s);
    const auto begin = std::chrono::steady_clock::now();
    const auto late_program = c.send("program", {}, {1500ms, {}});
    const auto late_builtin = c.send("sleep", shared_bytes::copy_of("20000"), {1500ms, {}});
    const auto in_time = c.send("sleep", shared_bytes::copy_of("3000"), {30s, {}});
    for (int i = 0; i < 3; ++i) {
      const auto answer = c.wait(20s);
      const auto after = std::chrono::steady_clock::now() - begin;
      REQUIRE(answer);
      CAPTURE(answer->id, answer->payload.view());
      if (answer->id == in_time) {
        CHECK(answer->code == error_code::ok);
        continue;
      }
      CHECK((answer->id == late_program || answer->id == late_builtin));
      CHECK(answer->code == error_code::timeout);
      CHECK(after >= 1500ms);
      CHECK(after < 2500ms * time_factor);
    }
    for (int i = 0; i < 200; ++i) REQUIRE(c.call("sleep", "1").code == error_code::ok);
    INFO(worker->log() << broker->log());
    CHECK(broker->log().find("gone") == std::string::npos);
    broker->signal(SIGTERM);
    CHECK(broker->wait(10s) == 0);
  }

  temporary_folder folder;
  endpoint clients;
  std::unique_ptr<process> broker;
  std::unique_ptr<process> worker;
};

} // namespace

#if !defined(__SANITIZE_ADDRESS__) // which must be loaded before anything else
TEST_CASE("a wall clock that jumps by days moves no deadline") {
  const strings jumping{"/usr/bin/env", "LD_PRELOAD=" ROPEWALK_JUMPING_CLOCK};
  // It does jump where it is looked at.
  temporary_folder folder;
  process date{
      jumping + strings{"/bin/sh", "-c", "i=0; while [ $i -lt 60 ]; do date +%F; i=$((i+1)); done"},
      folder.path() + "/date.log"};
  REQUIRE(date.wait(20s) == 0);
  std::set<std::string> days;
  std::istringstream lines{date.log()};
  for (std::string line; std::getline(lines, line);) days.insert(line);
  REQUIRE(days.size() > 1);
  odd_clocks{jumping, jumping}.check_deadlines();
}
#endif

TEST_CASE("broker and worker in time namespaces of their own agree on deadlines") {
  const strings apart{"/usr/bin/unshare", "--time", "--fork", "--kill-child"};
  const strings ahead = apart + strings{"--monotonic=86400", "--boottime=86400"};
  const strings behind = apart + strings{"--monotonic=-600", "--boottime=-600"};
  temporary_folder folder;
  for (const auto& one : {ahead, behind})
    if (process{one + strings{"/bin/true"}, folder.path() + "/try.log"}.wait(5s) != 0) {
      WARN("no time namespace may be made here: not tried");
      return;
    }
  odd_clocks{{}, ahead}.check_deadlines();
  odd_clocks{{}, behind}.check_deadlines();
}
