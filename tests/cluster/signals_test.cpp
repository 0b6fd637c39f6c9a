#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <algorithm>
#include <atomic>
#include <csignal>
#include <fstream>
#include <random>
#include <sys/wait.h>
#include <thread>

using namespace ropewalk;

/// Signals as they come in real life: to a whole group, to parent and child both, twice within
/// moments, at any moment of a process's life. None of them may cost a request.

namespace {

using strings = std::vector<std::string>;

bool has_said(const process& p, const std::string& what) {
  return p.log().find(what) != std::string::npos;
}

bool comes_to_say(const process& p, const std::string& what) {
  return eventually([&] { return has_said(p, what); });
}

bool is_alive(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

// A worker with one slot for a service: under a master with so many processes, or without one.
strings worker_with(const std::string& service, int processes) {
  strings words{"--service", service, "--slots", "1"};
  if (processes > 0)
    words.insert(words.end(),
                 {"--processes", std::to_string(processes), "--recycle-after", "1000000"});
  return words;
}

strings sleeper(int processes) {
  return worker_with("sleep=builtin:sleep", processes);
}

// A cluster whose only worker has a request running that takes so many seconds.
struct busy_worker {
  explicit busy_worker(int processes, const std::string& seconds = "0.7") {
    const auto mark = c.folder() + "/started";
    worker = &c.start_node(
        "w",
        worker_with("run=cmd:sh -c 'touch " + mark + "; exec sleep " + seconds + "'", processes));
    REQUIRE(c.has_nodes(processes > 0 ? static_cast<std::size_t>(processes) : 1));
    connection.send("run", {}, {60s, {}});
    connection.flush();
    REQUIRE(eventually([&] { return std::ifstream{mark}.good(); }));
  }

  // What was running was answered by who ran it, and all ended in good order.
  void check_drained() {
    const auto answer = connection.wait(10s);
    REQUIRE(answer);
    CHECK(answer->code == error_code::ok);
    CHECK(worker->wait(10s) == 0);
    CHECK(c.status()["restarts"] == 0);
    CHECK(c.status()["redispatched"] == 0);
    CHECK_FALSE(has_said(*worker, "at once"));
    CHECK_FALSE(has_said(*worker, "fell"));
  }

  cluster c;
  process* worker = nullptr;
  client connection = c.connect();
};

} // namespace

TEST_CASE(
    "SIGTERM or SIGINT to the whole process group is a drain: what runs is answered, exit 0") {
  const int processes = GENERATE(0, 2);
  const int number = GENERATE(SIGTERM, SIGINT);
  CAPTURE(processes, number);
  busy_worker b{processes};
  b.worker->signal_group(number);
  b.check_drained();
}

TEST_CASE("a signal that comes again within a second, by any way, is one and the same") {
  const int processes = GENERATE(0, 2);
  CAPTURE(processes);
  busy_worker b{processes};
  const auto children = children_of(b.worker->pid());
  b.worker->signal(SIGTERM); // as `timeout` does: its child, and then the group
  b.worker->signal_group(SIGTERM);
  REQUIRE_FALSE(b.worker->wait(100ms));
  b.worker->signal(SIGINT);
  if (processes > 0)
    for (const auto pid : children) ::kill(pid, SIGTERM);
  REQUIRE_FALSE(b.worker->wait(100ms));
  b.worker->signal_group(SIGINT);
  b.check_drained();
}

TEST_CASE("a second signal to a master after a second kills its processes, exit 1") {
  busy_worker b{2, "60"};
  const auto children = children_of(b.worker->pid());
  b.worker->signal(SIGTERM);
  REQUIRE_FALSE(b.worker->wait(1200ms));
  b.worker->signal(SIGTERM);
  REQUIRE(b.worker->wait(5s) == 1);
  CHECK(has_said(*b.worker, "ending at once"));
  for (const auto pid : children) CHECK_FALSE(is_alive(pid));
}

TEST_CASE("a node process under a master is never ended at once by a signal: the master decides") {
  busy_worker b{1, "2.5"};
  const auto child = children_of(b.worker->pid()).at(0);
  ::kill(child, SIGTERM);
  REQUIRE_FALSE(b.connection.wait(1200ms));
  ::kill(child, SIGTERM);
  ::kill(child, SIGINT);
  const auto answer = b.connection.wait(10s);
  REQUIRE(answer);
  REQUIRE(answer->code == error_code::ok);
  // It was told to leave by somebody, so another comes; it is no crash.
  REQUIRE(comes_to_say(*b.worker, "left: exit status 0; starting another"));
  REQUIRE(eventually([&] {
    const auto now = children_of(b.worker->pid());
    return now.size() == 1 && now[0] != child;
  }));
  REQUIRE(b.c.has_nodes(1));
  CHECK(b.c.status()["restarts"] == 0);
}

TEST_CASE("processes told to leave again and again do not make their master give up") {
  cluster c;
  auto options = sleeper(1);
  options.insert(options.end(), {"--restarts", "1"});
  auto& master = c.start_node("m", options);
  for (int i = 0; i < 4; ++i) {
    pid_t child = 0;
    REQUIRE(eventually([&] {
      const auto children = children_of(master.pid());
      if (!children.empty()) child = children.front();
      return child != 0;
    }));
    ::kill(child, i % 2 == 0 ? SIGTERM : SIGINT); // some before they listen
    REQUIRE(eventually([&] { return !is_alive(child); }));
  }
  REQUIRE(c.has_nodes(1));
  CHECK_FALSE(has_said(master, "fell"));
}

TEST_CASE("a signal right after the start is a drain, not a death") {
  const int processes = GENERATE(0, 2);
  CAPTURE(processes);
  cluster c;
  std::minstd_rand random{7};
  int drained = 0;
  for (int i = 0; i < 20; ++i) {
    auto& worker = c.start_node("w" + std::to_string(i), sleeper(processes));
    std::this_thread::sleep_for(std::chrono::milliseconds{random() % (100u * time_factor)});
    worker.signal_group(i % 2 == 0 ? SIGTERM : SIGINT);
    const auto status = worker.wait(10s);
    REQUIRE(status);
    INFO(worker.log());
    // Before the program itself has begun, the signal ends what is none of ours yet.
    CHECK((*status == 0 || (*status > 128 && worker.log().empty())));
    drained += *status == 0 ? 1 : 0;
  }
  CHECK(drained > 0);
  CHECK(c.has_nodes(0));
}

TEST_CASE("a signal right after the start of a broker ends it in good order") {
  temporary_folder folder;
  std::minstd_rand random{7};
  int drained = 0;
  for (int i = 0; i < 10; ++i) {
    process broker{{ROPEWALK_PROGRAM, "broker", "--listen", "127.0.0.1:0", "--cluster",
                    "127.0.0.1:0", "--shards", i % 2 == 0 ? "1" : "2"},
                   folder.path() + "/" + std::to_string(i) + ".log"};
    std::this_thread::sleep_for(std::chrono::milliseconds{random() % (100u * time_factor)});
    broker.signal_group(i % 2 == 0 ? SIGTERM : SIGINT);
    const auto status = broker.wait(10s);
    REQUIRE(status);
    INFO(broker.log());
    CHECK((*status == 0 || (*status > 128 && broker.log().empty())));
    drained += *status == 0 ? 1 : 0;
  }
  CHECK(drained > 0);
}

TEST_CASE("SIGHUP and SIGPIPE kill no process") {
  cluster c;
  auto& master = c.start_node("m", sleeper(2));
  auto& alone = c.start_node("a", sleeper(0));
  REQUIRE(c.has_nodes(3));
  const auto children = children_of(master.pid());
  REQUIRE(children.size() == 2);
  for (const int number : {SIGHUP, SIGPIPE}) {
    master.signal(number);
    master.signal_group(number);
    ::kill(children[0], number);
    alone.signal(number);
    c.broker().signal(number);
  }
  CHECK(comes_to_say(master, "(master): SIGHUP: passed on to the processes"));
  CHECK(comes_to_say(master, "m-1: SIGHUP: a worker has nothing to reload"));
  CHECK(comes_to_say(master, "m-2: SIGHUP: a worker has nothing to reload"));
  CHECK(comes_to_say(alone, "SIGHUP: a worker has nothing to reload"));
  CHECK_FALSE(master.wait(100ms));
  CHECK_FALSE(alone.wait(0ms));
  CHECK_FALSE(c.broker().wait(0ms));
  CHECK(children_of(master.pid()) == children);
  CHECK(c.has_nodes(3));
  CHECK(c.connect().call("sleep", "1").code == error_code::ok);
}

TEST_CASE("SIGHUP and SIGPIPE end no client: what it asked for is answered") {
  cluster c;
  const auto started = c.folder() + "/started";
  c.start_node("a", {"--service", "run=cmd:sh -c 'touch " + started + "; sleep 0.5; echo done'",
                     "--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const strings broker{"--broker", c.clients().text()};
  strings words{ROPEWALK_PROGRAM, "send", "run", "--data", "x"};
  words.insert(words.end(), broker.begin(), broker.end());
  process send{words, c.folder() + "/send.out"};
  REQUIRE(eventually([&] { return std::ifstream{started}.good(); }));
  for (const int number : {SIGHUP, SIGPIPE}) send.signal(number);
  CHECK(send.wait(10s) == 0);
  CHECK(send.log() == "done\n");
  words = {ROPEWALK_PROGRAM, "bench", "echo", "--seconds", "1"};
  words.insert(words.end(), broker.begin(), broker.end());
  process bench{words, c.folder() + "/bench.out"};
  REQUIRE(eventually([&] { return c.status()["nodes"][0]["answered"].get<int>() > 100; }));
  for (const int number : {SIGHUP, SIGPIPE}) bench.signal(number);
  CHECK(bench.wait(20s) == 0);
}

TEST_CASE("a reply for a reader that has gone is no success, and no death by SIGPIPE") {
  cluster c;
  c.start_node("a", {"--service", "late=cmd:sh -c 'sleep 0.3; echo late'"});
  REQUIRE(c.has_nodes(1));
  process send{{"/bin/sh", "-c",
                "{ \"$0\" send late --data x --broker " + c.clients().text() +
                    "; echo status $? >&2; } | true",
                ROPEWALK_PROGRAM},
               c.folder() + "/send.log"};
  REQUIRE(send.wait(10s));
  CHECK(comes_to_say(send, "status 4"));
}

TEST_CASE("a client whose parent has blocked signals can be interrupted all the same") {
  cluster c;
  const auto started = c.folder() + "/started";
  c.start_node("a", {"--service", "run=cmd:sh -c 'touch " + started + "; exec sleep 20'"});
  REQUIRE(c.has_nodes(1));
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  process send{{ROPEWALK_PROGRAM, "send", "run", "--data", "x", "--broker", c.clients().text()},
               c.folder() + "/send.log"};
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  REQUIRE(eventually([&] { return std::ifstream{started}.good(); }));
  send.signal(SIGINT);
  CHECK(send.wait(5s) == 128 + SIGINT);
}

TEST_CASE("a master that was started with SIGCHLD ignored starts its fallen again") {
  cluster c;
  process master{{"/bin/sh", "-c",
                  "trap '' CHLD; exec " ROPEWALK_PROGRAM " worker --broker " + c.nodes().text() +
                      " --name m --service sleep=builtin:sleep --processes 2"},
                 c.folder() + "/m.log"};
  REQUIRE(c.has_nodes(2));
  const auto child = children_of(master.pid()).at(0);
  ::kill(child, SIGKILL);
  REQUIRE(comes_to_say(master, "fell: killed by signal"));
  REQUIRE(eventually([&] {
    const auto now = children_of(master.pid());
    return now.size() == 2 && std::find(now.begin(), now.end(), child) == now.end();
  }));
  REQUIRE(c.has_nodes(2));
  master.signal(SIGTERM);
  REQUIRE(master.wait(10s) == 0);
}

TEST_CASE("a parent's signal mask and ignored signals change nothing") {
  cluster c;
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);
  process worker{{"/bin/sh", "-c",
                  "trap '' TERM INT HUP PIPE; exec " ROPEWALK_PROGRAM " worker --broker " +
                      c.nodes().text() + " --name m --service sleep=builtin:sleep --processes 2"},
                 c.folder() + "/m.log"};
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  REQUIRE(c.has_nodes(2));
  worker.signal_group(SIGTERM);
  REQUIRE(worker.wait(10s) == 0);
}

TEST_CASE("when a master is killed its processes finish what they run") {
  busy_worker b{2};
  const auto children = children_of(b.worker->pid());
  b.worker->signal(SIGKILL);
  const auto answer = b.connection.wait(10s);
  REQUIRE(answer);
  CHECK(answer->code == error_code::ok);
  CHECK(b.c.has_nodes(0));
  CHECK(has_said(*b.worker, "the master is gone"));
  CHECK(b.c.status()["redispatched"] == 0);
  for (const auto pid : children) CHECK(eventually([pid] { return !is_alive(pid); }));
}

TEST_CASE("the replacement of a recycled process that dies is started again, and its predecessor "
          "goes on meanwhile") {
  const int number = GENERATE(SIGKILL, SIGTERM);
  CAPTURE(number);
  cluster c;
  auto& master = c.start_node("m", {"--service", "sleep=builtin:sleep", "--slots", "1",
                                    "--processes", "1", "--recycle-after", "5"});
  REQUIRE(c.has_nodes(1));
  const auto predecessor = children_of(master.pid()).at(0);
  auto connection = c.connect();
  for (int i = 0; i < 4; ++i) REQUIRE(connection.call("sleep", "1").code == error_code::ok);
  // The fifth has it replaced; the broker, which is stopped, lets nobody join.
  connection.send("sleep", shared_bytes::copy_of("0"));
  connection.flush();
  REQUIRE(eventually([&] { return has_said(master, "asking the master for a replacement"); }));
  c.broker().signal(SIGSTOP);
  pid_t replacement = 0;
  REQUIRE(eventually([&] {
    for (const auto pid : children_of(master.pid()))
      if (pid != predecessor) replacement = pid;
    return replacement != 0;
  }));
  ::kill(replacement, number);
  if (number == SIGKILL) {
    REQUIRE(comes_to_say(master, "fell: killed by signal Killed, before it could replace another"));
    REQUIRE(is_alive(predecessor));
  }
  c.broker().signal(SIGCONT);
  if (number == SIGTERM) REQUIRE(comes_to_say(master, "left: exit status 0"));
  REQUIRE(connection.wait(10s)->code == error_code::ok);
  // The next one joins, and then the first leaves.
  REQUIRE(eventually([&] { return !is_alive(predecessor); }));
  REQUIRE(c.has_nodes(1));
  REQUIRE(connection.call("sleep", "1").code == error_code::ok);
  CHECK(c.status()["restarts"] == (number == SIGKILL ? 1 : 0));
}

namespace {

// A worker that is started, told to end at a random moment in a random way, and started again, for
// as long as the storm lasts.
class victim {
public:
  victim(const cluster& c, std::string name, bool with_master, std::uint64_t seed)
      : name_(std::move(name)), with_master_(with_master), random_(seed), folder_(c.folder()),
        broker_(c.nodes().text()) {}

  void live(const std::atomic<bool>& over) {
    while (!over) {
      strings words{ROPEWALK_PROGRAM, "worker", "--broker", broker_, "--name", name_};
      for (const auto& word : sleeper(0)) words.push_back(word);
      if (with_master_) words.insert(words.end(), {"--processes", "2", "--recycle-after", "20"});
      process worker{words, folder_ + "/" + name_ + "." + std::to_string(lives++) + ".log"};
      pause(random_() % 3 == 0 ? 60 : 800); // before the join, right after the start, or later
      while (!over && random_() % 2 == 0) {
        if (with_master_) disturb(worker);
        pause(300);
      }
      end(worker);
    }
  }

  std::uint64_t lives = 0;
  std::uint64_t signals = 0;
  std::vector<std::string> wrong; // what ended otherwise than it should have

private:
  std::uint64_t random_to(std::uint64_t end) { return random_() % end; }

  void pause(std::uint64_t most_ms) {
    std::this_thread::sleep_for(std::chrono::milliseconds{random_to(most_ms)});
  }

  int ending_signal() { return random_to(2) == 0 ? SIGTERM : SIGINT; }

  // Children are told to end, which their master has not asked for; and all get what ends nobody.
  void disturb(const process& worker) {
    for (const auto pid : children_of(worker.pid())) {
      if (random_to(2) == 0) continue;
      ::kill(pid, random_to(3) == 0 ? SIGHUP : ending_signal());
      ++signals;
    }
    if (!worker.log().empty() && random_to(3) == 0) {
      worker.signal(random_to(2) == 0 ? SIGHUP : SIGPIPE);
      ++signals;
    }
  }

  // One to four signals within half a second: to the group, to itself, to itself and its children.
  void end(process& worker) {
    const auto first = std::chrono::steady_clock::now();
    for (auto left = 1 + random_to(4); left > 0; --left) {
      // Later, on a machine that is slow just now, it would count as a second one.
      if (std::chrono::steady_clock::now() - first > 600ms) break;
      const auto way = random_to(3);
      if (way == 0)
        worker.signal_group(ending_signal());
      else
        worker.signal(ending_signal());
      ++signals;
      if (way == 2) disturb(worker);
      pause(150);
    }
    const auto status = worker.wait(30s);
    const auto log = worker.log();
    // Before the program itself has begun, a signal ends what is none of ours yet.
    const bool in_order = status && (*status == 0 || (*status > 128 && log.empty()));
    if (!in_order || log.find("fell") != std::string::npos ||
        log.find("at once") != std::string::npos)
      wrong.push_back(name_ + " ended with " + (status ? std::to_string(*status) : "nothing") +
                      ":\n" + log);
  }

  std::string name_;
  bool with_master_;
  std::mt19937_64 random_;
  std::string folder_;
  std::string broker_;
};

} // namespace

TEST_CASE("a storm of signals at every moment of workers' lives loses no request", "[endurance]") {
  cluster c;
  auto& first = c.start_node("first", sleeper(0)); // or there would be no such service yet
  REQUIRE(c.has_nodes(1));
  first.signal(SIGTERM);
  REQUIRE(first.wait(10s) == 0);
  const auto seed = std::random_device{}();
  std::vector<std::unique_ptr<victim>> victims;
  for (std::uint64_t i = 0; i < 4; ++i)
    victims.push_back(std::make_unique<victim>(c, "v" + std::to_string(i), i % 2 == 0, seed + i));
  std::atomic<bool> over{false};
  std::vector<std::thread> threads;
  for (auto& v : victims) threads.emplace_back([&] { v->live(over); });
  // Short ones, so that there are many, and some that are running whenever a signal comes.
  std::uint64_t sent = 0;
  std::uint64_t twice = 0;
  std::map<std::uint64_t, bool> open; // by id
  std::map<std::string, std::uint64_t> errors;
  auto connection = c.connect();
  const auto take = [&](std::chrono::milliseconds patience) {
    const auto answer = connection.wait(patience);
    if (!answer) return;
    twice += open.erase(answer->id) == 1 ? 0 : 1;
    if (answer->code != error_code::ok)
      ++errors[std::string{name_of(answer->code)} + " " + std::string{answer->payload.view()}];
  };
  const auto end = std::chrono::steady_clock::now() + how_long(10);
  while (std::chrono::steady_clock::now() < end && !connection.closed()) {
    while (open.size() < 30) {
      const auto takes = sent++ % 20 == 0 ? "300" : sent % 5 == 0 ? "20" : "1";
      open[connection.send("sleep", shared_bytes::copy_of(takes), {60s, {}})] = true;
    }
    take(100ms);
  }
  // The last workers may be leaving: what is open then is for one that stays.
  over = true;
  c.start_node("last", sleeper(0));
  const auto patience = std::chrono::steady_clock::now() + 60s;
  while (!open.empty() && !connection.closed() && std::chrono::steady_clock::now() < patience)
    take(100ms);
  for (auto& t : threads) t.join();
  std::uint64_t lives = 0;
  std::uint64_t signals = 0;
  for (const auto& v : victims) {
    lives += v->lives;
    signals += v->signals;
    for (const auto& what : v->wrong) FAIL_CHECK(what);
  }
  WARN("seed " << seed << ": " << sent << " requests, " << lives << " workers, " << signals
               << " signals, " << open.size() << " lost");
  for (const auto& [what, count] : errors) FAIL_CHECK(count << " answers were " << what);
  CHECK(open.empty());
  CHECK(twice == 0);
  CHECK(c.status()["restarts"] == 0);
  CHECK(c.status()["redispatched"] == 0);
}
