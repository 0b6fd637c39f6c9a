#include "tests/catch.hpp"
#include "tests/cluster/bystanders.hpp"
#include "tests/cluster/processes.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <set>

using namespace ropewalk;

namespace {

std::string numbered(std::uint64_t id) {
  return "message " + std::to_string(id);
}

void none_lost_none_twice(const load& l, std::uint64_t count) {
  INFO(l.last_error);
  CHECK(l.errors == std::map<std::string, std::uint64_t>{});
  CHECK(l.missing() == 0);
  CHECK(l.twice == 0);
  CHECK(l.wrong == 0);
  REQUIRE(l.answered == count);
}

// A service that runs for ten minutes, and says where everybody can see it that it has started.
std::string running_service(const cluster& c) {
  return "run=cmd:sh -c 'echo $$ > " + c.folder() + "/pid; exec sleep 600'";
}

pid_t running_pid(const cluster& c) {
  pid_t pid = 0;
  std::ifstream{c.folder() + "/pid"} >> pid;
  return pid;
}

} // namespace

TEST_CASE("kill -9 of nodes under load: every request is answered, none twice, none lost") {
  cluster c;
  std::vector<process*> nodes;
  auto start = [&] {
    nodes.push_back(&c.start_node("n" + std::to_string(nodes.size()),
                                  {"--service", "echo=builtin:echo", "--slots", "2"}));
  };
  for (int i = 0; i < 3; ++i) start();
  REQUIRE(c.has_nodes(3));
  constexpr std::uint64_t count = 200'000;
  load l{c.connect(), "echo", count, 500, numbered};
  l.run(60s, [&](std::uint64_t done) {
    if (done % 20'000 != 0 || done == count) return;
    nodes[nodes.size() - 3]->signal(SIGKILL); // the oldest that lives
    start();
  });
  none_lost_none_twice(l, count);
}

TEST_CASE("a request whose worker dies is run again on another node at once") {
  cluster c;
  std::map<std::string, process*> nodes;
  for (const auto* name : {"a", "b"})
    nodes[name] = &c.start_node(name, {"--service", "sleep=builtin:sleep", "--slots", "1"});
  REQUIRE(c.has_nodes(2));
  auto connection = c.connect();
  connection.send("sleep", shared_bytes::copy_of("500"));
  connection.flush();
  process* runs = nullptr;
  REQUIRE(eventually([&] {
    const auto status = c.status();
    for (const auto& node : status["nodes"])
      if (node["in_flight"] == 1) runs = nodes.at(node["name"]);
    return runs != nullptr;
  }));
  const auto killed = std::chrono::steady_clock::now();
  runs->signal(SIGKILL);
  REQUIRE(connection.wait(10s)->code == error_code::ok);
  CHECK(std::chrono::steady_clock::now() - killed < 1500ms * time_factor);
  CHECK(c.status()["redispatched"] == 1);
}

TEST_CASE("a slot that crashes harms only the message that crashed it, which is set apart") {
  cluster c;
  c.start_node(
      "a", {"--service", "crash=builtin:crash", "--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  auto poisoned = c.connect();
  poisoned.send("crash", shared_bytes::copy_of("now"));
  poisoned.flush();
  load l{c.connect(), "echo", 2000, 20, numbered};
  l.run(20s);
  none_lost_none_twice(l, 2000);
  const auto answer = poisoned.wait(10s);
  REQUIRE(answer);
  REQUIRE(answer->code == error_code::worker_lost);
  INFO(answer->payload.view());
  REQUIRE(answer->payload.view().find("lost 3 times") != std::string_view::npos);
  REQUIRE(answer->payload.view().find("builtin:crash was told to") != std::string_view::npos);
  const auto s = c.status();
  REQUIRE(s["nodes"].size() == 1);
  REQUIRE(s["restarts"] == 3);
}

TEST_CASE("one message's crashes, however many attempts it has, use up nobody's restarts") {
  cluster c{{"--attempts", "8"}};
  auto& node = c.start_node(
      "a", {"--service", "crash=builtin:crash", "--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  const auto answer = c.connect().call("crash", "now");
  REQUIRE(answer.code == error_code::worker_lost);
  CHECK(answer.payload.view().find("lost 8 times") != std::string_view::npos);
  CHECK(c.status()["restarts"] == 8);
  CHECK(node.log().find("fall too often") == std::string::npos);
  others_are_served(c);
}

TEST_CASE("a message that kills whole nodes is set apart, and what waited beside it is answered") {
  cluster c;
  // The poison fells every process that runs it; a master brings them back.
  c.start_node("m", {"--service", "crash=builtin:crash", "--service", "sleep=builtin:sleep",
                     "--slots", "1", "--processes", "2"});
  REQUIRE(c.has_nodes(2));
  auto poisoned = c.connect();
  poisoned.send("crash", shared_bytes::copy_of("process"));
  poisoned.flush();
  load l{c.connect(), "sleep", 100, 4, [](std::uint64_t) { return "20"; }};
  l.run(60s);
  // What was running beside the poison when its process died is charged too, but cannot be charged
  // three times: the poison dies first.
  none_lost_none_twice(l, 100);
  const auto answer = poisoned.wait(20s);
  REQUIRE(answer);
  REQUIRE(answer->code == error_code::worker_lost);
}

TEST_CASE("a service whose slots crash again and again is answered clearly, and the others go on") {
  cluster c;
  c.start_node(
      "a", {"--service", "crash=builtin:crash", "--service", "echo=builtin:echo", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  for (int i = 0; i < 4; ++i) connection.send("crash", shared_bytes::copy_of("x"));
  for (int i = 0; i < 4; ++i) {
    const auto answer = connection.wait(20s);
    REQUIRE(answer);
    REQUIRE(answer->code == error_code::worker_lost);
  }
  REQUIRE(connection.call("echo", "alive").code == error_code::ok);
}

TEST_CASE("a handler that fails is not run again") {
  cluster c;
  c.start_node("a", {"--service", "fail=builtin:fail", "--service",
                     "false=cmd:sh -c 'echo $ROPEWALK_ATTEMPT >&2; exit 1'"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  REQUIRE(connection.call("fail", "no").payload.view() == "no");
  REQUIRE(connection.call("false", "").payload.view() == "exit status 1: 1");
  REQUIRE(c.status()["redispatched"] == 0);
}

TEST_CASE("a stopped node is noticed within five seconds, and its work runs elsewhere") {
  cluster c;
  auto& a = c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  connection.send("sleep", shared_bytes::copy_of("10"));
  REQUIRE(connection.wait(10s));
  a.signal(SIGSTOP);
  connection.send("sleep", shared_bytes::copy_of("11"));
  connection.flush();
  const auto stopped = std::chrono::steady_clock::now();
  c.start_node("b", {"--service", "sleep=builtin:sleep", "--slots", "1"});
  const auto answer = connection.wait(20s);
  const auto took = std::chrono::steady_clock::now() - stopped;
  REQUIRE(answer);
  REQUIRE(answer->code == error_code::ok);
  CHECK(took < 5s * time_factor);
  a.signal(SIGCONT); // it comes back, notices, joins again; what it answers late is refused
  REQUIRE(c.has_nodes(2, 15s));
  REQUIRE_FALSE(connection.wait(200ms));
}

TEST_CASE("SIGTERM of a node with work in flight: what runs finishes, what waits goes elsewhere, "
          "exit 0") {
  cluster c;
  auto& a = c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  load l{c.connect(), "sleep", 60, 20, [](std::uint64_t) { return "50"; }};
  process* b = nullptr;
  l.run(30s, [&](std::uint64_t done) {
    if (done == 5) b = &c.start_node("b", {"--service", "sleep=builtin:sleep", "--slots", "2"});
    if (done == 10) a.signal(SIGTERM);
  });
  none_lost_none_twice(l, 60);
  REQUIRE(a.wait(5s) == 0);
  REQUIRE(b);
  CHECK(c.status()["restarts"] == 0);
}

TEST_CASE("SIGTERM of a node under full load loses nothing") {
  cluster c;
  std::vector<process*> nodes;
  for (int i = 0; i < 6; ++i)
    nodes.push_back(
        &c.start_node("n" + std::to_string(i), {"--service", "echo=builtin:echo", "--slots", "1"}));
  REQUIRE(c.has_nodes(6));
  std::size_t next = 0;
  load l{c.connect(), "echo", 100'000, 400, numbered};
  l.run(60s, [&](std::uint64_t done) {
    if (done % 20'000 == 10'000 && next < 5) nodes[next++]->signal(SIGTERM);
  });
  none_lost_none_twice(l, 100'000);
  for (std::size_t i = 0; i < next; ++i) REQUIRE(nodes[i]->wait(10s) == 0);
}

TEST_CASE(
    "SIGTERM of the broker with work in flight: all is answered, new work is refused, exit 0") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  for (int i = 0; i < 6; ++i) connection.send("sleep", shared_bytes::copy_of("200"));
  connection.flush();
  REQUIRE(eventually([&] { return c.status()["in_flight"] == 2; }));
  c.broker().signal(SIGTERM);
  REQUIRE(c.broker().says("draining"));
  const auto late = connection.send("sleep", shared_bytes::copy_of("1"));
  int ok = 0;
  for (int i = 0; i < 7; ++i) {
    const auto answer = connection.wait(10s);
    REQUIRE(answer);
    if (answer->id == late)
      CHECK(answer->code == error_code::draining);
    else
      ok += answer->code == error_code::ok ? 1 : 0;
  }
  REQUIRE(ok == 6);
  REQUIRE_FALSE(connection.wait(5s)); // and then the connection closes
  REQUIRE(connection.closed());
  REQUIRE(c.broker().wait(10s) == 0);
}

TEST_CASE("a second SIGTERM ends a broker or a node at once") {
  cluster c;
  auto& a = c.start_node("a", {"--service", running_service(c), "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  connection.send("run", {}, {60s, {}});
  connection.flush();
  REQUIRE(eventually([&] { return running_pid(c) > 0; }));
  a.signal(SIGTERM);
  REQUIRE(a.says("draining"));
  REQUIRE_FALSE(a.wait(1200ms)); // within a second it would be the first one again
  a.signal(SIGTERM);
  REQUIRE(a.wait(5s) == 1);
  c.broker().signal(SIGTERM);
  REQUIRE(c.broker().says("draining"));
  REQUIRE_FALSE(c.broker().wait(1200ms)); // the request waits for another node
  c.broker().signal(SIGTERM);
  REQUIRE(c.broker().wait(5s) == 1);
}

TEST_CASE("the drain time bounds a drain") {
  cluster c;
  auto& a =
      c.start_node("a", {"--service", running_service(c), "--slots", "1", "--drain-time", "300"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  connection.send("run", {}, {60s, {}});
  connection.flush();
  REQUIRE(eventually([&] { return running_pid(c) > 0; }));
  a.signal(SIGTERM);
  REQUIRE(a.wait(5s));
  REQUIRE(eventually(
      [&] { return c.status()["queued"] == 1; })); // and what ran there waits for another node
}

TEST_CASE("20000 messages through three processes replaced every 200: none lost, none failed, no "
          "zombie") {
  cluster c;
  auto& master = c.start_node("m", {"--service", "up=builtin:upper", "--slots", "2", "--processes",
                                    "3", "--recycle-after", "200"});
  REQUIRE(c.has_nodes(3));
  load l{c.connect(), "up", 20'000, 100,
         [](std::uint64_t id) { return "MESSAGE " + std::to_string(id); }};
  std::set<pid_t> pids;
  l.run(120s, [&](std::uint64_t done) {
    if (done % 500 == 0)
      for (const auto pid : children_of(master.pid())) pids.insert(pid);
  });
  none_lost_none_twice(l, 20'000);
  INFO(pids.size() << " processes were seen");
  CHECK(pids.size() > 6);
  REQUIRE(c.has_nodes(3, 10s));
  REQUIRE(eventually([&] { return children_of(master.pid()).size() == 3; }));
  CHECK(eventually(
      [&] { return children_of(master.pid(), true).empty(); })); // one may just be ending
  CHECK(c.status()["restarts"] == 0);                            // a replacement is no restart
  master.signal(SIGTERM);
  REQUIRE(master.wait(10s) == 0);
}

TEST_CASE("a process under the master that is killed is back within a second") {
  cluster c;
  auto& master = c.start_node("m", {"--service", "echo=builtin:echo", "--processes", "2"});
  REQUIRE(c.has_nodes(2));
  const auto before = children_of(master.pid());
  REQUIRE(before.size() == 2);
  const auto killed = std::chrono::steady_clock::now();
  ::kill(before[0], SIGKILL);
  const bool back = eventually([&] {
    std::set<pid_t> there;
    const auto s = c.status();
    for (const auto& n : s["nodes"]) there.insert(n["pid"].get<pid_t>());
    return there.size() == 2 && !there.contains(before[0]);
  });
  REQUIRE(back);
  CHECK(std::chrono::steady_clock::now() - killed < 1s * time_factor);
  CHECK(c.status()["restarts"] == 1);
}

TEST_CASE(
    "a master whose processes fall at once gives up with a clear message and a non-zero exit") {
  cluster c;
  auto& master = c.start_node("m", {"--service", "echo=builtin:echo", "--processes", "1",
                                    "--recycle-after", "1000000", "--restarts", "2"});
  REQUIRE(c.has_nodes(1));
  std::optional<int> status;
  const bool ended = eventually([&] {
    const auto children = children_of(master.pid());
    // Once it has given up a child is no process of ours: under the leak sanitizer it is what looks
    // through the memory, and the master would wait for that for ever.
    if (master.log().find("giving up") == std::string::npos)
      for (const auto pid : children) ::kill(pid, SIGKILL);
    status = master.wait(20ms);
    return status.has_value();
  });
  REQUIRE(ended);
  REQUIRE(*status == 1);
  REQUIRE(master.says("giving up"));
}

TEST_CASE("processes end when their master is killed") {
  cluster c;
  auto& master = c.start_node("m", {"--service", "echo=builtin:echo", "--processes", "2"});
  REQUIRE(c.has_nodes(2));
  const auto pids = children_of(master.pid());
  master.signal(SIGKILL);
  REQUIRE(c.has_nodes(0, 10s));
  for (const auto pid : pids) REQUIRE(eventually([pid] { return ::kill(pid, 0) != 0; }));
}

TEST_CASE("a command dies with its node") {
  cluster c;
  auto& a = c.start_node("a", {"--service", running_service(c)});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  connection.send("run", {});
  connection.flush();
  REQUIRE(eventually([&] { return running_pid(c) > 0; }));
  const auto pid = running_pid(c);
  a.signal(SIGKILL);
  REQUIRE(eventually([pid] { return ::kill(pid, 0) != 0; }));
}
