#include "actors/supervise/spawner.hpp"
#include "tests/catch.hpp"
#include "tests/eventually.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace ropewalk;
using namespace std::chrono_literals;

// Processes that a program has forked and left to the spawner (fork servers).

namespace {

using kind = program_channel::event::kind;

program_channel open(spawner& s, const std::string& script) {
  auto opened = s.open({"/bin/sh", {"sh", "-c", script}, {"PATH=/usr/bin:/bin"}, {}});
  REQUIRE(std::holds_alternative<program_channel>(opened));
  return std::move(std::get<program_channel>(opened));
}

void start(program_channel& c) {
  static const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  REQUIRE(c.start({}, std::array{null, null, null}) == 0);
}

program_channel::event wait_for(program_channel& c) {
  program_channel::event result;
  eventually([&] {
    result = c.take_event();
    return result.what != kind::none;
  });
  return result;
}

bool is_there(pid_t pid) {
  return ::kill(pid, 0) == 0;
}

// A file in which a script writes a process's number.
class written_pid {
public:
  written_pid() { std::filesystem::remove(path_); }
  ~written_pid() { std::filesystem::remove(path_); }

  [[nodiscard]] const std::string& path() const { return path_; }

  [[nodiscard]] pid_t wait() const {
    pid_t pid = 0;
    REQUIRE(eventually([&] { return static_cast<bool>(std::ifstream{path_} >> pid); }));
    return pid;
  }

private:
  static std::string next_path() {
    static int count = 0;
    return std::filesystem::temp_directory_path() /
           ("ropewalk-adoption-test-" + std::to_string(::getpid()) + "." + std::to_string(++count));
  }
  std::string path_ = next_path();
};

// Of a shell: forks one that executes nothing, and says so when it is an orphan.
std::string orphan(const written_pid& to, const std::string& does) {
  return "( ( " + does + " ) & echo $! > " + to.path() + ".begun ); mv " + to.path() + ".begun " +
         to.path() + "; ";
}

constexpr auto stays = "while :; do sleep 1; done";
const std::string lives = "while :; do sleep 0.01; done";

program_channel::event adopt(program_channel& c, pid_t pid) {
  REQUIRE(c.adopt(pid, spawner_wire::mark_of('f', 1)) == 0);
  return wait_for(c);
}

} // namespace

TEST_CASE(
    "an orphan that is adopted is a run: it has a group, is signalled, and its end is known") {
  const auto exits = "trap 'exit 7' TERM; " + lives;
  spawner s;
  const written_pid forked;
  auto server = open(s, orphan(forked, GENERATE_COPY(lives, exits)) + stays);
  start(server);
  const auto pid = forked.wait();
  auto c = open(s, "exit 0");
  REQUIRE(adopt(c, pid).what == kind::adopted);
  CHECK(::getpgid(pid) == pid);
  c.measure();
  const auto measured = wait_for(c);
  REQUIRE(measured.what == kind::measured);
  CHECK(measured.bytes > 0);
  c.kill(SIGTERM);
  const auto end = wait_for(c);
  REQUIRE(end.what == kind::ended);
  CHECK((WIFSIGNALED(end.status) || WEXITSTATUS(end.status) == 7));
  CHECK(eventually([&] { return !is_there(pid); }));
  start(c); // the channel is as good as before
  CHECK(wait_for(c).what == kind::ended);
}

TEST_CASE(
    "an orphan that is adopted outlives the program that has forked it, and another does not") {
  spawner s;
  const written_pid one;
  const written_pid two;
  auto server = open(s, orphan(one, lives) + orphan(two, lives) + stays);
  start(server);
  const auto adopted = one.wait();
  const auto other = two.wait();
  auto c = open(s, "exit 0");
  REQUIRE(adopt(c, adopted).what == kind::adopted);
  server.kill(SIGKILL);
  REQUIRE(wait_for(server).what == kind::ended);
  CHECK_FALSE(is_there(other));
  CHECK(is_there(adopted));
  c.kill(SIGKILL);
  const auto end = wait_for(c);
  REQUIRE(end.what == kind::ended);
  CHECK(WTERMSIG(end.status) == SIGKILL);
}

TEST_CASE("what an adopted process leaves behind is known by its mark, and ends with it") {
  spawner s;
  const written_pid forked;
  const written_pid left;
  const auto mark = spawner_wire::mark_of('f', 1);
  const auto leaves = "ROPEWALK_RUN=" + mark + " setsid sh -c 'echo $$ > " + left.path() +
                      "; exec sleep 1000' & " + lives;
  auto server = open(s, orphan(forked, leaves) + stays);
  start(server);
  const auto pid = forked.wait();
  auto c = open(s, "exit 0");
  REQUIRE(adopt(c, pid).what == kind::adopted);
  const auto behind = left.wait();
  c.kill(SIGKILL);
  REQUIRE(wait_for(c).what == kind::ended);
  CHECK_FALSE(is_there(behind));
}

TEST_CASE("what is no orphan of a run is not adopted") {
  spawner s;
  auto c = open(s, "exit 0");
  const auto why = [&](pid_t pid) {
    const auto event = adopt(c, pid);
    REQUIRE(event.what == kind::not_started);
    CHECK(event.failure.step == start_step::adoption);
    return event.failure.error;
  };
  CHECK(why(::getpid()) == ECHILD); // somebody else's child
  CHECK(why(0x3fffffff) == ESRCH);
  CHECK(why(-1) != 0);
  const written_pid main;
  auto other = open(s, "echo $$ > " + main.path() + "; while :; do sleep 1; done");
  start(other);
  CHECK(why(main.wait()) == EPERM);
  const written_pid executed; // it may have done anything
  auto server = open(s, orphan(executed, "exec sleep 1000") + stays);
  start(server);
  const auto pid = executed.wait();
  REQUIRE(eventually([&] {
    std::ifstream comm{"/proc/" + std::to_string(pid) + "/comm"};
    std::string name;
    return std::getline(comm, name) && name == "sleep";
  }));
  CHECK(why(pid) != 0);
  CHECK(eventually([&] { return !is_there(pid); }));
  start(c); // as good as before
  CHECK(wait_for(c).what == kind::ended);
}

TEST_CASE("marks are of one length, and differ") {
  CHECK(spawner_wire::mark_of('f', 1).size() == spawner_wire::mark_of('s', UINT64_MAX).size());
  CHECK(spawner_wire::mark_of('f', 1) != spawner_wire::mark_of('s', 1));
  CHECK(spawner_wire::mark_of('f', 1) != spawner_wire::mark_of('f', 11));
}
