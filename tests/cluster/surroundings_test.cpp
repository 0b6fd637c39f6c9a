#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <arpa/inet.h>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <netinet/in.h>
#include <sched.h>
#include <set>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

using namespace ropewalk;

/// What a process may find when it starts: descriptors closed or open that are none of its, no
/// /proc, no PATH, no working directory, any umask, any signal blocked or ignored. It works, or says
/// why not; and a handler sees nothing of it.

namespace {

namespace fs = std::filesystem;
using strings = std::vector<std::string>;

// A ropewalk command started by a shell that does `first`, which redirects where it says `exec`.
strings after(const std::string& first, const strings& command) {
  strings words{"/bin/sh", "-c", first, ROPEWALK_PROGRAM};
  words.insert(words.end(), command.begin(), command.end());
  return words;
}

const std::string go = "exec \"$0\" \"$@\"";

// Bit N: descriptor N is closed.
std::string closing(int which) {
  auto result = go;
  for (int fd = 0; fd < 3; ++fd)
    if ((which & 1 << fd) != 0) result += " " + std::to_string(fd) + (fd == 0 ? "<&-" : ">&-");
  return result;
}

// The port on which a process listens at this address; 0: on none. Its log may say nothing.
std::uint16_t port_of(pid_t pid, const std::string& address) {
  std::set<std::string> own;
  std::error_code ignored;
  for (const auto& fd : fs::directory_iterator{"/proc/" + std::to_string(pid) + "/fd", ignored})
    own.insert(fs::read_symlink(fd.path(), ignored).string());
  in_addr wanted{};
  ::inet_pton(AF_INET, address.c_str(), &wanted);
  std::ifstream table{"/proc/net/tcp"};
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::istringstream in{line};
    std::string skipped, local, state, inode;
    in >> skipped >> local >> skipped >> state;
    for (int i = 0; i < 6; ++i) in >> inode;
    const auto host = std::strtoul(local.substr(0, 8).c_str(), nullptr, 16);
    if (state == "0A" && host == wanted.s_addr && own.contains("socket:[" + inode + "]"))
      return static_cast<std::uint16_t>(std::strtoul(local.substr(9).c_str(), nullptr, 16));
  }
  return 0;
}

// A broker, a worker and a master with two, all started after the same.
class started_after {
public:
  started_after(const std::string& first, const std::string& prefix, const std::string& handler)
      : prefix_(prefix) {
    broker_ = start(first, {"broker", "--listen", "127.0.0.1:0", "--cluster", "127.0.0.2:0"}, "b");
    const auto ready = eventually([&] {
      clients_.port = port_of(broker_->pid(), clients_.host);
      nodes_.port = port_of(broker_->pid(), nodes_.host);
      return clients_.port != 0 && nodes_.port != 0;
    });
    INFO(broker_->log());
    REQUIRE(ready);
    start_worker(first, {"--name", "a"}, handler);
    start_worker(first, {"--name", "m", "--processes", "2"}, handler);
    REQUIRE(eventually([&] { return nodes() == 3; }, 20s));
  }

  void check_answers() const {
    const std::string message(100'000, 'x');
    load l{*client::connect(clients_, 5s), "work", 60, 6,
           [&](std::uint64_t id) { return std::to_string(id) + message; }};
    l.run(30s);
    INFO(l.last_error);
    CHECK(l.answered == 60);
    CHECK(l.wrong == 0);
    CHECK(l.twice == 0);
    CHECK(nodes() == 3);
  }

  // Everything is answered as it should be, nobody falls, and all end in good order.
  void check_work() {
    check_answers();
    for (auto& worker : workers_) {
      worker->signal(SIGTERM);
      INFO(worker->log());
      CHECK(worker->wait(10s) == 0);
      CHECK(worker->log().find("fell") == std::string::npos);
    }
    broker_->signal(SIGTERM);
    CHECK(broker_->wait(10s) == 0);
  }

  [[nodiscard]] process& master() { return *workers_.at(1); }

  [[nodiscard]] std::size_t nodes() const {
    auto c = client::connect(clients_, 5s);
    if (!c) return 0;
    c->send_status();
    const auto answer = c->wait(5s);
    return answer ? nlohmann::json::parse(answer->payload.view())["nodes"].size() : 0;
  }

private:
  void start_worker(const std::string& first, strings options, const std::string& handler) {
    const auto name = options[1];
    options.insert(options.begin(), {"worker", "--broker", nodes_.text(), "--slots", "2",
                                     "--service", "work=" + handler});
    workers_.push_back(start(first, options, name));
  }

  std::unique_ptr<process> start(const std::string& first, const strings& command,
                                 const std::string& name) {
    auto words = after(first, command);
    if (!prefix_.empty()) words.insert(words.begin(), {prefix_, "--mount", "--"});
    return std::make_unique<process>(words, folder_.path() + "/" + name + ".log");
  }

  temporary_folder folder_;
  std::string prefix_;
  endpoint clients_{"127.0.0.1", 0};
  endpoint nodes_{"127.0.0.2", 0};
  std::unique_ptr<process> broker_;
  std::vector<std::unique_ptr<process>> workers_;
};

} // namespace

TEST_CASE(
    "whichever of descriptors 0, 1 and 2 are closed at the start, broker, workers and masters "
    "work") {
  const int closed = GENERATE(range(1, 8));
  CAPTURE(closed);
  started_after all{closing(closed), {}, "cmd:cat"};
  all.check_work();
}

TEST_CASE("a command without stdin, stdout or stderr says so with its exit status, and loses "
          "nothing silently") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto send = [&](int closed, strings more) {
    more.insert(more.begin(), {"send", "echo", "--broker", c.clients().text()});
    const auto log = c.folder() + "/send.out";
    fs::remove(log);
    process p{after(closing(closed), more), log};
    const int status = p.wait(10s).value_or(-1);
    return output{status, p.log(), {}};
  };
  const auto no_stdin = send(0b001, {});
  CHECK(no_stdin.status == 2);
  CHECK(no_stdin.out.find("cannot read the message from stdin") != std::string::npos);
  CHECK(send(0b101, {}).status == 2);
  for (const int closed : {0b000, 0b001, 0b100, 0b101}) {
    CAPTURE(closed);
    const auto good = send(closed, {"--data", "hello"});
    CHECK(good.status == 0);
    CHECK(good.out == "hello");
  }
  for (const int closed : {0b010, 0b011, 0b110, 0b111}) {
    CAPTURE(closed);
    CHECK(send(closed, {"--data", "hello"}).status == 4); // the reply went nowhere
  }
  for (int closed = 0; closed < 8; ++closed)
    for (const auto* command : {"status", "bench"}) {
      CAPTURE(closed, command);
      strings words{command, "--broker", c.clients().text()};
      if (words[0] == "bench") words.insert(words.begin() + 1, {"echo", "--seconds", "0.1"});
      process p{after(closing(closed), words), c.folder() + "/other.out"};
      const auto status = p.wait(20s);
      REQUIRE(status);
      CHECK(*status < 128);
      if ((closed & 0b010) == 0) CHECK(*status == 0);
    }
  CHECK(c.connect().call("echo", "still").payload.view() == "still");
}

TEST_CASE("a handler that writes to any descriptor beyond stderr hurts nobody, whatever was open "
          "when its worker was started") {
  temporary_folder folder;
  const auto theirs = folder.path() + "/theirs";
  const auto script = folder.path() + "/writer";
  std::ofstream{script} << "#!/bin/sh\n"
                           "n=3\n"
                           "while [ $n -le 50 ]; do\n"
                           "  (echo recycle >&$n) 2>/dev/null\n"
                           "  n=$((n + 1))\n"
                           "done\n"
                           "exec cat\n";
  fs::permissions(script, fs::perms::owner_all);
  started_after all{
      "exec 3>>" + theirs + " 7>>" + theirs + " 9</dev/zero; " + go, {}, "cmd:" + script};
  const auto before = children_of(all.master().pid());
  REQUIRE(before.size() == 2);
  const std::string message(100, 'x');
  all.check_work();
  CHECK(all.master().log().find("recycle") == std::string::npos);
  CHECK(all.master().log().find("replace") == std::string::npos);
  CHECK(fs::file_size(theirs) == 0);
}

TEST_CASE("no working directory, no umask that gives anything, no HOME and no PATH are no reason "
          "not to work") {
  temporary_folder folder;
  const auto gone = folder.path() + "/gone$$";
  started_after all{"mkdir " + gone + "; cd " + gone + "; rmdir " + gone +
                        "; umask 0777; exec env -i \"$0\" \"$@\"",
                    {},
                    "cmd:cat"};
  all.check_work();
}

TEST_CASE("certificates made under a umask that gives nothing can be read by who made them") {
  temporary_folder folder;
  process p{after("umask 0777; " + go, {"certs", "--dir", folder.path() + "/certs"}),
            folder.path() + "/certs.log"};
  REQUIRE(p.wait(20s) == 0);
  for (const auto& one : fs::recursive_directory_iterator{folder.path() + "/certs"}) {
    CAPTURE(one.path().string());
    CHECK((one.status().permissions() & fs::perms::owner_read) != fs::perms::none);
    if (one.is_directory())
      CHECK((one.status().permissions() & fs::perms::owner_exec) != fs::perms::none);
  }
}

TEST_CASE("without a /proc everything works, a master's fallen are started again, too") {
  temporary_folder folder;
  const std::string unshare = "/usr/bin/unshare";
  const std::string hide = "umount -l /proc || exit 9; ";
  if (process{{unshare, "--mount", "--", "/bin/sh", "-c", hide + "true"},
              folder.path() + "/try.log"}
          .wait(5s) != 0) {
    WARN("no mount namespace may be made here: not tried");
    return;
  }
  started_after all{hide + go, unshare, "cmd:cat"};
  const auto child = children_of(all.master().pid()).at(0);
  ::kill(child, SIGKILL);
  REQUIRE(eventually([&] { return all.nodes() == 2; }));
  REQUIRE(eventually([&] { return all.nodes() == 3; }));
  all.check_answers();
}

TEST_CASE("a parent that blocks and ignores every signal it can changes nothing for those that are "
          "started under it") {
  sigset_t every;
  sigset_t before;
  ::sigfillset(&every);
  ::sigprocmask(SIG_SETMASK, &every, &before);
  // What a handler finds: nothing of it blocked or ignored.
  started_after all{"trap '' HUP INT QUIT USR1 USR2 PIPE ALRM TERM CHLD TSTP TTIN TTOU; " + go,
                    {},
                    "cmd:sh -c \"grep -q '^SigBlk:.0*$' /proc/self/status && grep -q "
                    "'^SigIgn:.0*$' /proc/self/status && cat\""};
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  all.check_work();
}

namespace {

// A control group of version 1 or 2 with this file in it, as far as one may be made here.
class control_group {
public:
  control_group(const std::string& controller, const std::string& name, const std::string& file_1,
                const std::string& file_2, const std::string& value) {
    for (const auto& [parent, file] : {std::pair{"/sys/fs/cgroup/" + controller, file_1},
                                       std::pair{std::string{"/sys/fs/cgroup"}, file_2}}) {
      const auto folder = parent + "/" + name + std::to_string(::getpid());
      if (::mkdir(folder.c_str(), 0755) != 0) continue;
      std::ofstream out{folder + "/" + file};
      out << value << std::flush;
      if (out.good() && fs::exists(folder + "/" + file)) {
        path_ = folder;
        return;
      }
      ::rmdir(folder.c_str());
    }
  }
  ~control_group() {
    if (!path_.empty()) eventually([&] { return ::rmdir(path_.c_str()) == 0; });
  }
  control_group(const control_group&) = delete;
  control_group& operator=(const control_group&) = delete;

  [[nodiscard]] bool is_there() const { return !path_.empty(); }
  [[nodiscard]] std::string enter() const { return "echo $$ > " + path_ + "/cgroup.procs; "; }

private:
  std::string path_;
};

// What a worker offers that was started after `first`, without a word about slots.
int slots_after(const std::string& first, strings more = {}) {
  cluster c;
  more.insert(more.begin(), {"worker", "--broker", c.nodes().text(), "--service",
                             "echo=builtin:echo", "--name", "w"});
  process worker{after(first + go, more), c.folder() + "/w.log"};
  INFO(worker.log());
  REQUIRE(eventually([&] { return !c.status()["nodes"].empty(); }, 20s));
  return c.status()["nodes"][0]["slots"].get<int>();
}

} // namespace

TEST_CASE("a worker runs as many messages as it has processors: its affinity and its quota") {
  cpu_set_t own;
  REQUIRE(::sched_getaffinity(0, sizeof own, &own) == 0);
  const int all = CPU_COUNT(&own);
  CHECK(slots_after({}) == all);
  int first = 0;
  while (!CPU_ISSET(first, &own)) ++first;
  const auto on_one = "taskset -p -c " + std::to_string(first) + " $$ >/dev/null; ";
  CHECK(slots_after(on_one) == 1);
  CHECK(slots_after(on_one, {"--processes", "2"}) == 1);
  const control_group half{"cpu", "ropewalk-half", "cpu.cfs_quota_us", "cpu.max", "50000"};
  if (!half.is_there()) {
    WARN("no control group may be made here: the quota is not tried");
    return;
  }
  CHECK(slots_after(half.enter()) == 1);
  CHECK(slots_after(half.enter(), {"--processes", "2"}) == 1);
}

TEST_CASE("a broker's memory follows that of its container, and it says so") {
  const control_group small{"memory", "ropewalk-small", "memory.limit_in_bytes", "memory.max",
                            "268435456"};
  const auto first = small.is_there() ? small.enter() : std::string{"ulimit -v 262144; "};
  temporary_folder folder;
  const strings broker{"broker", "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:0"};
  process fitted{after(first + go, broker), folder.path() + "/fitted.log"};
  CHECK(fitted.says("ready"));
  CHECK(fitted.says("256 MiB of memory"));
  CHECK(fitted.says("--memory 128MiB"));
  auto words = broker;
  words.insert(words.end(), {"--memory", "100000000"});
  process told{after(first + go, words), folder.path() + "/told.log"};
  CHECK(told.says("ready"));
  CHECK(told.log().find("--memory") == std::string::npos);
  CHECK(told.says("--service-memory 96MiB"));
}
