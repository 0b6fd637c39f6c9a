#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

using namespace ropewalk;

namespace fs = std::filesystem;

namespace {

std::vector<pid_t> pids_in(const std::string& path) {
  std::vector<pid_t> result;
  std::ifstream in{path};
  for (pid_t pid = 0; in >> pid;) result.push_back(pid);
  return result;
}

bool all_gone(const std::vector<pid_t>& pids) {
  return std::all_of(pids.begin(), pids.end(), [](pid_t pid) { return ::kill(pid, 0) != 0; });
}

// Or is a zombie that the machine's init has not reaped yet.
bool has_ended(pid_t pid) {
  const auto stat = file_text("/proc/" + std::to_string(pid) + "/stat");
  const auto end = stat.rfind(')');
  return end == std::string::npos || stat.substr(end, 3) == ") Z";
}

struct relative {
  pid_t pid = 0;
  std::string name;
  char state = '?';
};

// The processes below one, however deep.
std::vector<relative> descendants_of(pid_t parent) {
  std::vector<relative> result;
  std::error_code ignored;
  for (const auto& task :
       fs::directory_iterator{"/proc/" + std::to_string(parent) + "/task", ignored})
    for (const auto pid : pids_in(task.path().string() + "/children")) {
      const auto stat = file_text("/proc/" + std::to_string(pid) + "/stat");
      const auto begin = stat.find('(');
      const auto end = stat.rfind(')');
      if (begin == std::string::npos || end + 2 >= stat.size()) continue; // it has just gone
      result.push_back({pid, stat.substr(begin + 1, end - begin - 1), stat[end + 2]});
      const auto below = descendants_of(pid);
      result.insert(result.end(), below.begin(), below.end());
    }
  return result;
}

// One for each process of a node.
std::vector<pid_t> find(pid_t below, const std::string& name) {
  std::vector<pid_t> result;
  eventually([&] {
    result.clear();
    for (const auto& one : descendants_of(below))
      if (one.name == name) result.push_back(one.pid);
    return result.size() == processes_of_a_node();
  });
  return result;
}

void kill_all(const std::vector<pid_t>& pids) {
  for (const auto pid : pids) ::kill(pid, SIGKILL);
}

// For a worker that a shell starts.
std::string processes_option() {
  return " --processes " + std::to_string(processes_of_a_node());
}

std::ptrdiff_t descriptors_of(pid_t pid) {
  fs::directory_iterator all{"/proc/" + std::to_string(pid) + "/fd"};
  return std::distance(begin(all), end(all));
}

[[maybe_unused]] std::ptrdiff_t threads_of(pid_t pid) {
  fs::directory_iterator all{"/proc/" + std::to_string(pid) + "/task"};
  return std::distance(begin(all), end(all));
}

// Writes PIDs of its own and of six that it starts, most of which detach themselves in some way, to
// FOLDER/pids, and goes on with `then`.
std::string script_that_starts_many(const std::string& folder, const std::string& then) {
  const auto path = folder + "/many";
  std::ofstream script{path};
  script << "#!/bin/sh\n"
         << "cd " << folder << "\n"
         << "echo $$ >> pids\n"
         << "sleep 1000 & echo $! >> pids\n"
         << "sleep 1000 & echo $! >> pids\n"
         << "setsid sh -c 'echo $$ >> pids; exec sleep 1000' &\n"
         << "env -i setsid /bin/sh -c 'echo $$ >> pids; /bin/sleep 1000; true' &\n"
         << "(setsid sh -c 'echo $$ >> pids; sleep 1000 & echo $! >> pids; wait' &)\n"
         << "while [ $(wc -l < pids) -lt 7 ]; do sleep 0.01; done\n"
         << then << "\n";
  script.close();
  fs::permissions(path, fs::perms::owner_all);
  return path;
}

constexpr std::size_t many = 7;

// What keeps processors busy while it lives.
class busy {
public:
  explicit busy(const std::string& folder) {
    for (int i = 0; i < 3; ++i)
      all_.push_back(std::make_unique<process>(
          std::vector<std::string>{"/bin/sh", "-c", "while :; do :; done"}, folder + "/busy.log"));
  }

private:
  std::vector<std::unique_ptr<process>> all_;
};

} // namespace

TEST_CASE("nodes that are ended in the middle of runs, however it is done: those of one ordering "
          "key never overlap") {
  const auto [way, wanted_kills] =
      GENERATE(std::pair<std::string, int>{"local", 40}, std::pair<std::string, int>{"tcp", 15},
               std::pair<std::string, int>{"tls", 15}, std::pair<std::string, int>{"drain", 15},
               std::pair<std::string, int>{"TERM twice", 15});
  const int kills = wanted_kills / time_factor;
  INFO(way);
  const temporary_folder certificates;
  std::vector<std::string> broker_options{"--attempts", "100", "--retry-share", "100"};
  std::vector<std::string> node_options{"--slots", "1"};
  if (way == "tcp") node_options.emplace_back("--tcp-only");
  if (way == "drain") node_options.insert(node_options.end(), {"--drain-time", "20"});
  if (way == "tls") {
    REQUIRE(run_ropewalk({"certs", "--dir", certificates.path()}, certificates.path()).status == 0);
    broker_options.insert(broker_options.end(), {"--cluster-tls", certificates.path() + "/broker"});
    node_options.insert(node_options.end(), {"--cluster-tls", certificates.path() + "/worker"});
  }
  cluster c{broker_options};
  const busy others{c.folder()};
  // Its lock is held by whatever lives of a run; the kernel gives it back at the very end of that.
  std::map<std::string, process*> nodes;
  const auto start = [&](int number) {
    const auto name = "n" + std::to_string(number);
    auto options = node_options;
    options.insert(
        options.end(),
        {"--service", "key=cmd:sh -c 'cd " + c.folder() +
                          "; exec 9>>lock; flock -n 9 || echo overlap >> overlaps; echo " + name +
                          " >> runs; exec sleep 0.3'"});
    nodes[name] = &c.start_node(name, options);
  };
  int started = 0;
  start(started++);
  start(started++);
  REQUIRE(c.has_nodes(2));
  const auto runs = [&] {
    std::istringstream text{file_text(c.folder() + "/runs")};
    return std::vector<std::string>{std::istream_iterator<std::string>{text}, {}};
  };
  auto connection = c.connect();
  for (int i = 0; i < kills + 1; ++i)
    connection.send("key", shared_bytes::copy_of("x"), {300s, {}, "one"});
  connection.flush();
  std::size_t seen = 0;
  for (int i = 0; i < kills; ++i) {
    REQUIRE(eventually([&] { return runs().size() > seen; }, 20s));
    seen = runs().size();
    const auto runner = runs().back();
    std::this_thread::sleep_for(std::chrono::milliseconds{5 + 37 * i % 200}); // into the run
    auto& node = *nodes.at(runner);
    node.signal(way == "drain" || way == "TERM twice" ? SIGTERM : SIGKILL);
    if (way == "TERM twice") {
      REQUIRE(node.says("draining"));
      node.signal(SIGTERM);
    }
    start(started++);
  }
  for (int i = 0; i < kills + 1; ++i) {
    const auto answer = connection.wait(60s);
    REQUIRE(answer);
    INFO(answer->payload.view());
    CHECK(answer->code == error_code::ok);
  }
  CHECK(file_text(c.folder() + "/overlaps").empty());
  CHECK(runs().size() > static_cast<std::size_t>(kills));
}

TEST_CASE("what a program has started, however it detached itself, is gone after its message",
          "[masters]") {
  cluster c;
  const auto script = script_that_starts_many(c.folder(), "");
  c.start_node("a", {"--service", "many=cmd:" + script, "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  REQUIRE(c.connect().call("many", "").code == error_code::ok);
  const auto pids = pids_in(c.folder() + "/pids");
  CHECK(pids.size() == many);
  CHECK(all_gone(pids));
}

TEST_CASE("what a program has started is gone after whatever ends its run", "[masters]") {
  const std::string end = GENERATE("deadline", "cancel", "kill -9 of the node", "TERM of the node",
                                   "kill -9 of the spawner", "kill -9 of the keeper");
  INFO(end);
  cluster c;
  const auto script = script_that_starts_many(c.folder(), "sleep 1000");
  auto& node = c.start_node("a", {"--service", "many=cmd:" + script, "--service", "true=cmd:true",
                                  "--slots", "1", "--drain-time", "200"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto timeout = end == "deadline" ? 1s : 100s;
  const auto id = connection.send("many", {}, {timeout, std::uint8_t{1}});
  connection.flush();
  REQUIRE(eventually([&] { return pids_in(c.folder() + "/pids").size() == many; }));
  const auto pids = pids_in(c.folder() + "/pids");
  const auto spawner = find(node.pid(), "ropewalk-spawn");
  const auto keeper = find(node.pid(), "ropewalk-keeper");
  REQUIRE(spawner.size() == processes_of_a_node());
  REQUIRE(keeper.size() == processes_of_a_node());
  if (end == "cancel") {
    connection.cancel(id);
    connection.flush();
  }
  if (end == "kill -9 of the node") node.signal(SIGKILL);
  if (end == "TERM of the node") node.signal(SIGTERM);
  if (end == "kill -9 of the spawner") kill_all(spawner);
  if (end == "kill -9 of the keeper") kill_all(keeper);
  CHECK(eventually([&] { return all_gone(pids); }, 5s));
  if (end == "deadline") CHECK(connection.wait(5s)->code == error_code::timeout);
  if (end.ends_with("node")) {
    node.wait(5s);
    const auto ended = [](const std::vector<pid_t>& all) {
      return std::all_of(all.begin(), all.end(), has_ended);
    };
    CHECK(eventually([&] { return ended(spawner) && ended(keeper); }, 1s * time_factor));
    return;
  }
  if (end.ends_with("spawner") || end.ends_with("keeper")) {
    const auto answer = connection.wait(5s);
    REQUIRE(answer);
    CHECK(answer->code == error_code::worker_lost);
    CHECK(answer->payload.view().find("together with the process that starts programs") !=
          std::string_view::npos);
  }
  CHECK(c.connect().call("true", "").code == error_code::ok); // by another spawner, perhaps
  CHECK(node.wait(0ms) == std::nullopt);
}

TEST_CASE("no zombie is left by fifty messages, in a container without an init either") {
  const bool as_init = GENERATE(false, true);
  cluster c;
  const auto path = c.folder() + "/leaves";
  std::ofstream{path} << "#!/bin/sh\nsleep 1000 & setsid sleep 1000 & (true &) ; (sleep 1000 &)\n";
  fs::permissions(path, fs::perms::owner_all);
  const std::vector<std::string> unshare{"/usr/bin/unshare", "--pid", "--fork", "--mount-proc",
                                         "--kill-child"};
  if (as_init) {
    auto words = unshare;
    words.emplace_back("/bin/true");
    if (process{words, c.folder() + "/unshare.log"}.wait(5s) != 0) {
      WARN("no PID namespace may be made here: not tried as PID 1");
      return;
    }
  }
  auto words = as_init ? unshare : std::vector<std::string>{};
  words.insert(words.end(), {ROPEWALK_PROGRAM, "worker", "--broker", c.nodes().text(), "--name",
                             "a", "--slots", "2", "--service", "leaves=cmd:" + path});
  process node{words, c.folder() + "/a.log"};
  REQUIRE(c.has_nodes(1));
  load l{c.connect(), "leaves", 50, 4, [](std::uint64_t) { return ""; }};
  l.run(30s);
  REQUIRE(l.answered == 50);
  // The keeper and the spawner, below a process of unshare's where there is one. (On a machine that
  // is busy a process that was killed may not get to its end for longer than an answer waits for it.)
  const auto is_left = [](const auto& one) {
    return !one.name.starts_with("ropewalk") || one.state == 'Z';
  };
  const auto left = [&] {
    const auto all = descendants_of(node.pid());
    return std::count_if(all.begin(), all.end(), is_left);
  };
  CHECK(eventually([&] { return left() == 0; }));
}

TEST_CASE("descriptors of a node and its spawner are flat over two thousand programs") {
  cluster c;
  auto& node = c.start_node("a", {"--service", "true=cmd:true", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  const auto spawner = find(node.pid(), "ropewalk-spawn");
  const auto work = [&](std::uint64_t count) {
    load l{c.connect(), "true", count, 8, [](std::uint64_t) { return ""; }};
    l.run(60s);
    REQUIRE(l.answered == count);
  };
  work(20);
  const auto before = std::pair{descriptors_of(node.pid()), descriptors_of(spawner.at(0))};
  work(2000);
  CHECK(std::pair{descriptors_of(node.pid()), descriptors_of(spawner.at(0))} == before);
}

TEST_CASE(
    "a program that closes stdout and stderr and then takes long is ended at its deadline, and "
    "a drain does not wait for it",
    "[masters]") {
  cluster c;
  auto& node = c.start_node("a", {"--service", "quiet=cmd:sh -c 'exec >/dev/null 2>&1; sleep 25'",
                                  "--slots", "1", "--drain-time", "300"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto before = std::chrono::steady_clock::now();
  connection.send("quiet", {}, {1s});
  REQUIRE(connection.wait(10s)->code == error_code::timeout);
  CHECK(std::chrono::steady_clock::now() - before < 2s * time_factor);
  connection.send("quiet", {}, {20s});
  connection.flush();
  REQUIRE(eventually([&] { return c.status()["in_flight"] == 1; }));
  node.signal(SIGTERM);
  CHECK(node.wait(5s).has_value());
}

TEST_CASE("what a program said before its deadline reaches its client", "[masters]") {
  cluster c;
  c.start_node(
      "a", {"--service", "slow=cmd:sh -c 'printf \"caf\\\\351\" >&2; sleep 25'", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  connection.send("slow", {}, {500ms});
  const auto answer = connection.wait(10s);
  REQUIRE(answer);
  REQUIRE(answer->code == error_code::timeout);
  // Where the sanitizers slow the node down, the broker's own word comes first.
  if (time_factor == 1)
    CHECK(answer->payload.view() ==
          "the program was ended at the deadline; it had said: caf\xef\xbf\xbd");
}

TEST_CASE("a node whose program cannot be started does not swallow the service", "[masters]") {
  cluster c;
  const auto broken = c.folder() + "/broken";
  std::ofstream{broken} << "#!/no/such/interpreter\n";
  fs::permissions(broken, fs::perms::owner_all);
  auto& bad = c.start_node("bad", {"--service", "up=cmd:" + broken, "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  c.start_node("good", {"--service", "up=cmd:cat", "--slots", "2"});
  REQUIRE(c.has_nodes(2));
  load l{c.connect(), "up", 400, 20, [](std::uint64_t id) { return std::to_string(id); }};
  l.run(60s);
  INFO(l.last_error);
  CHECK(l.errors == std::map<std::string, std::uint64_t>{});
  CHECK(l.answered == 400);
  const auto log = bad.log();
  const auto said = log.find("the interpreter /no/such/interpreter, which is not there");
  CHECK(said != std::string::npos);
  CHECK(std::count(log.begin(), log.end(), '\n') < 10);
  CHECK(c.status()["redispatched"] == 0); // nobody is charged
}

TEST_CASE("a node takes its service up again by itself when its program can be started",
          "[masters]") {
  cluster c;
  const auto path = c.folder() + "/program";
  std::ofstream{path} << "#!/bin/sh\ncat\n";
  fs::permissions(path, fs::perms::owner_all);
  auto& node = c.start_node("a", {"--service", "up=cmd:" + path, "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  REQUIRE(connection.call("up", "x").code == error_code::ok);
  fs::rename(path, path + ".away");
  connection.send("up", shared_bytes::copy_of("y"));
  connection.flush();
  REQUIRE(node.says("not there any more"));
  CHECK_FALSE(connection.wait(300ms));
  fs::rename(path + ".away", path);
  const auto answer = connection.wait(10s);
  REQUIRE(answer);
  CHECK(answer->code == error_code::ok);
  CHECK(answer->payload.view() == "y");
}

// Not under the sanitizers: UBSan opens a pipe to see whether an object's memory can be read, and
// without a descriptor takes it for unreadable.
#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE("a worker with fewer descriptors than its slots want answers every message",
          "[masters]") {
  cluster c;
  process node{{"/bin/sh", "-c",
                "ulimit -Sn 256; exec " ROPEWALK_PROGRAM " worker --name a --broker " +
                    c.nodes().text() + " --slots 100 --service 'sl=cmd:sh -c \"cat; sleep 0.3\"'" +
                    processes_option()},
               c.folder() + "/a.log"};
  REQUIRE(c.has_nodes(1));
  if (processes_of_a_node() == 1)
    REQUIRE(eventually([&] { return threads_of(node.pid()) > 100; })); // all slots are up
  load l{c.connect(), "sl", 300, 150, [](std::uint64_t id) { return std::to_string(id); }};
  l.run(60s);
  INFO(l.last_error);
  CHECK(l.errors == std::map<std::string, std::uint64_t>{});
  CHECK(l.answered == 300);
}
#endif

TEST_CASE("a worker whose parent ignores SIGCHLD knows how its programs ended", "[masters]") {
  cluster c;
  process node{{"/bin/sh", "-c",
                "trap '' CHLD; exec " ROPEWALK_PROGRAM " worker --name a --broker " +
                    c.nodes().text() +
                    " --slots 1 --service \"three=cmd:sh -c 'echo half; exit 3'\" --service "
                    "\"crash=cmd:sh -c 'echo half; kill -SEGV \\$\\$'\"" +
                    processes_option()},
               c.folder() + "/a.log"};
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto three = connection.call("three", "");
  CHECK(three.code == error_code::failed);
  CHECK(three.payload.view() == "exit status 3");
  CHECK(connection.call("crash", "").code == error_code::worker_lost);
}
