#include "actors/supervise/spawner.hpp"
#include "tests/catch.hpp"
#include "tests/eventually.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <functional>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

program shell(const std::string& script) {
  return {"/bin/sh", {"sh", "-c", script}, {"PATH=/usr/bin:/bin"}, {}};
}

program_channel open(spawner& s, const program& what) {
  auto opened = s.open(what);
  REQUIRE(std::holds_alternative<program_channel>(opened));
  return std::move(std::get<program_channel>(opened));
}

int null() {
  static const int fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  return fd;
}

program_channel::event wait_for(program_channel& c) {
  program_channel::event result;
  eventually([&] {
    result = c.take_event();
    return result.what != program_channel::event::kind::none;
  });
  return result;
}

using kind = program_channel::event::kind;

struct told_pids {
  std::string path;
  explicit told_pids(const std::string& name = {})
      : path(std::filesystem::temp_directory_path() /
             ("ropewalk-spawner-test-" + std::to_string(::getpid()) + name)) {
    std::filesystem::remove(path);
  }
  ~told_pids() { std::filesystem::remove(path); }

  std::vector<pid_t> read() const {
    std::vector<pid_t> result;
    std::ifstream in{path};
    for (pid_t pid = 0; in >> pid;) result.push_back(pid);
    return result;
  }
  bool all_gone() const {
    for (const auto pid : read())
      if (::kill(pid, 0) == 0) return false;
    return true;
  }
};

// A background process, one in a session of its own, one that also has cleared its environment, one
// whose parent is gone already.
std::string leaves_much_behind(const told_pids& to) {
  const auto& p = to.path;
  return "echo $$ >> " + p + "; sleep 1000 & echo $! >> " + p + "; setsid sh -c 'echo $$ >> " + p +
         "; exec sleep 1000' & env -i setsid /bin/sh -c 'echo $$ >> " + p +
         "; /bin/sleep 1000' & (setsid sh -c 'echo $$ >> " + p + "; sleep 1000 & echo $! >> " + p +
         "; wait' &) ; while [ $(wc -l < " + p + ") -lt 6 ]; do sleep 0.01; done; ";
}

// The spawner's keeper is this process's child, and the spawner that one's. The last: the handlers'
// own may be there.
pid_t last_child_of(pid_t parent, const std::string& name) {
  std::ifstream list{"/proc/" + std::to_string(parent) + "/task/" + std::to_string(parent) +
                     "/children"};
  pid_t last = 0;
  for (pid_t pid = 0; list >> pid;) {
    std::ifstream comm{"/proc/" + std::to_string(pid) + "/comm"};
    std::string text;
    if (std::getline(comm, text) && text == name) last = pid;
  }
  return last;
}

// When both are up.
pid_t keeper_of(spawner& s) {
  const auto before = last_child_of(::getpid(), "ropewalk-keeper");
  REQUIRE(s.start());
  pid_t keeper = 0;
  REQUIRE(eventually([&] {
    keeper = last_child_of(::getpid(), "ropewalk-keeper");
    return keeper != before && last_child_of(keeper, "ropewalk-spawn") > 0;
  }));
  return keeper;
}

std::ptrdiff_t descriptors_of(pid_t pid) {
  std::filesystem::directory_iterator all{"/proc/" + std::to_string(pid) + "/fd"};
  return std::distance(begin(all), end(all));
}

} // namespace

TEST_CASE("a program's end is told with its status, and a channel starts one after the other") {
  spawner s;
  auto c = open(s, shell("exit $CODE"));
  for (int i = 0; i < 20; ++i) {
    std::string variables = "CODE=" + std::to_string(i);
    variables.push_back('\0');
    REQUIRE(c.start(variables, std::array{null(), null(), null()}) == 0);
    const auto event = wait_for(c);
    REQUIRE(event.what == kind::ended);
    REQUIRE(WIFEXITED(event.status));
    REQUIRE(WEXITSTATUS(event.status) == i);
  }
}

TEST_CASE("what cannot be executed is told with the errno of the step that failed") {
  spawner s;
  const auto told = [&s](const program& what) {
    auto c = open(s, what);
    REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
    const auto event = wait_for(c);
    REQUIRE(event.what == kind::not_started);
    return event.failure;
  };
  CHECK(told({"/no/such/program", {"x"}, {}, {}}).error == ENOENT);
  CHECK(told({"/tmp", {"x"}, {}, {}}).error == EACCES);
  CHECK(told({"/etc/passwd", {"x"}, {}, {}}).error == EACCES);
  CHECK(told({"/no/such/program", {"x"}, {}, {}}).step == start_step::program);
  const auto folder = told({"/bin/true", {"x"}, {}, "/no/such/folder"});
  CHECK(folder.error == ENOENT);
  CHECK(folder.step == start_step::folder);
}

TEST_CASE("a program runs in the folder, with the arguments and the environment that it is given") {
  spawner s;
  program what{"/bin/sh",
               {"sh", "-c",
                "test \"$(pwd)\" = /usr && test \"$1\" = 'a b' && test -z \"$2\" && "
                "test \"$GIVEN\" = yes && test -n \"$ROPEWALK_RUN\"",
                "sh", "a b", ""},
               {"PATH=/bin:/usr/bin", "GIVEN=yes"},
               "/usr"};
  auto c = open(s, what);
  REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
  const auto event = wait_for(c);
  REQUIRE(event.what == kind::ended);
  REQUIRE(event.status == 0);
}

TEST_CASE("a program starts with no signal blocked or ignored, and no descriptor but three") {
  ::signal(SIGUSR2, SIG_IGN);
  spawner s;
  ::signal(SIGUSR2, SIG_DFL);
  std::array<int, 2> pipe{};
  REQUIRE(::pipe2(pipe.data(), O_CLOEXEC) == 0);
  auto c = open(s, {"/bin/sh",
                    {"sh", "-c", "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd"},
                    {"PATH=/bin:/usr/bin"},
                    {}});
  REQUIRE(c.start({}, std::array{null(), pipe[1], null()}) == 0);
  REQUIRE(wait_for(c).what == kind::ended);
  std::array<char, 1000> text{};
  const auto count = ::read(pipe[0], text.data(), text.size());
  ::close(pipe[0]);
  ::close(pipe[1]);
  REQUIRE(count > 0);
  // 3 is what ls reads the folder with.
  CHECK(std::string(text.data(), static_cast<std::size_t>(count)) ==
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0\n1\n2\n3\n");
}

TEST_CASE("what a program leaves behind is gone when its end is told") {
  spawner s;
  told_pids pids;
  auto c = open(s, shell(leaves_much_behind(pids) + "exit 0"));
  REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
  REQUIRE(wait_for(c).what == kind::ended);
  REQUIRE(pids.read().size() == 6);
  REQUIRE(pids.all_gone());
}

TEST_CASE("what one program leaves behind is ended, and another program's goes on") {
  spawner s;
  told_pids pids;
  auto goes_on = open(
      s, shell("(setsid sh -c 'echo $$ >> " + pids.path + "; exec sleep 1000' &); sleep 1000"));
  REQUIRE(goes_on.start({}, std::array{null(), null(), null()}) == 0);
  REQUIRE(eventually([&] { return pids.read().size() == 1; }));
  auto c = open(s, shell("(setsid sleep 1000 &) ; exit 0"));
  for (int i = 0; i < 5; ++i) {
    REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
    REQUIRE(wait_for(c).what == kind::ended);
  }
  CHECK_FALSE(pids.all_gone());
  goes_on.kill(SIGKILL);
  REQUIRE(wait_for(goes_on).what == kind::ended);
  REQUIRE(pids.all_gone());
}

TEST_CASE("a program whose channel closes is ended with all that it started") {
  spawner s;
  told_pids pids;
  {
    auto c = open(s, shell(leaves_much_behind(pids) + "sleep 1000"));
    REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
    REQUIRE(eventually([&] { return pids.read().size() == 6; }));
  }
  REQUIRE(pids.all_gone());
}

TEST_CASE("when the spawner's process is killed, so is all that it started, and the next run finds "
          "another") {
  spawner s;
  const std::string who = GENERATE("ropewalk-keeper", "ropewalk-spawn");
  const auto keeper = keeper_of(s);
  const auto victim = who == "ropewalk-keeper" ? keeper : last_child_of(keeper, "ropewalk-spawn");
  told_pids pids;
  auto c = open(s, shell(leaves_much_behind(pids) + "sleep 1000"));
  REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
  REQUIRE(eventually([&] { return pids.read().size() == 6; }));
  ::kill(victim, SIGKILL);
  REQUIRE(wait_for(c).what == kind::lost);
  CHECK(pids.all_gone());
  CHECK(c.start({}, std::array{null(), null(), null()}) == ESRCH);
  auto again = open(s, shell("exit 7"));
  REQUIRE(again.start({}, std::array{null(), null(), null()}) == 0);
  const auto event = wait_for(again);
  REQUIRE(event.what == kind::ended);
  REQUIRE(WEXITSTATUS(event.status) == 7);
}

TEST_CASE("a channel that the spawner closes by itself costs its own program, and no other") {
  spawner s;
  const auto keeper = keeper_of(s);
  told_pids theirs{"theirs"};
  told_pids own{"own"};
  auto other = open(s, shell("echo $$ >> " + theirs.path + "; exec sleep 1000"));
  REQUIRE(other.start({}, std::array{null(), null(), null()}) == 0);
  auto c = open(s, shell("echo $$ >> " + own.path + "; exec sleep 1000"));
  REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
  REQUIRE(eventually([&] { return theirs.read().size() == 1 && own.read().size() == 1; }));
  REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0); // it has lost count of its runs
  REQUIRE(wait_for(c).what == kind::lost);
  CHECK(eventually([&] { return own.all_gone(); }));
  CHECK_FALSE(theirs.all_gone());
  auto again = open(s, shell("exit 7"));
  REQUIRE(again.start({}, std::array{null(), null(), null()}) == 0);
  CHECK(WEXITSTATUS(wait_for(again).status) == 7);
  CHECK(last_child_of(::getpid(), "ropewalk-keeper") == keeper);
  other.kill(SIGTERM);
  CHECK(wait_for(other).what == kind::ended);
}

TEST_CASE("signals other than SIGKILL mean nothing to the spawner") {
  spawner s;
  const auto keeper = keeper_of(s);
  const auto process = last_child_of(keeper, "ropewalk-spawn");
  CHECK(::getpgid(keeper) != ::getpgrp());
  CHECK(::getpgid(process) != ::getpgrp());
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGCHLD, SIGALRM, SIGQUIT}) {
    ::kill(keeper, signal);
    ::kill(process, signal);
  }
  auto c = open(s, shell("exit 3"));
  REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
  REQUIRE(wait_for(c).what == kind::ended);
  CHECK(last_child_of(::getpid(), "ropewalk-keeper") == keeper);
  CHECK(last_child_of(keeper, "ropewalk-spawn") == process);
}

TEST_CASE("a process that ends, however it does, ends what its spawner started, and then no zombie "
          "is left") {
  told_pids pids;
  const auto node = ::fork();
  if (node == 0) { // with a spawner of its own
    auto* const s = new spawner;
    auto opened = s->open(shell(leaves_much_behind(pids) + "sleep 1000"));
    auto* const c = new program_channel{std::move(std::get<program_channel>(opened))};
    (void)c->start({}, std::array{null(), null(), null()});
    for (;;) ::pause();
  }
  REQUIRE(eventually([&] { return pids.read().size() == 6; }));
  const auto keeper = last_child_of(node, "ropewalk-keeper");
  const auto process = last_child_of(keeper, "ropewalk-spawn");
  ::kill(node, SIGKILL);
  ::waitpid(node, nullptr, 0);
  CHECK(eventually([&] { return pids.all_gone(); }));
  CHECK(eventually([&] { return ::kill(process, 0) != 0; }));
}

TEST_CASE("a connection that is held closes for its peer when all that was started is gone") {
  std::array<int, 2> ends{-1, -1};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  auto* const s = new spawner;
  told_pids pids;
  REQUIRE(s->start());
  s->hold(ends[0]);
  ::close(ends[0]);
  pollfd peer{ends[1], POLLIN, 0};
  CHECK(::poll(&peer, 1, 100) == 0); // to close is not enough
  delete s;
  CHECK(::poll(&peer, 1, 5000) == 1);
  ::close(ends[1]);
}

TEST_CASE("a held connection that its peer has ended costs nothing until it is closed here, too") {
  spawner s;
  const auto process = last_child_of(keeper_of(s), "ropewalk-spawn");
  std::array<int, 2> ends{-1, -1};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
  s.hold(ends[0]);
  auto c = open(s, shell("exit 0"));
  REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
  REQUIRE(wait_for(c).what == kind::ended);
  const auto before = descriptors_of(process);
  ::close(ends[1]);
  CHECK(eventually([&] { return descriptors_of(process) == before - 1; }));
  const auto ticks = [process] {
    std::ifstream in{"/proc/" + std::to_string(process) + "/schedstat"};
    std::uint64_t ns = 0;
    in >> ns;
    return ns;
  };
  const auto spent = ticks();
  std::this_thread::sleep_for(100ms);
  CHECK(ticks() - spent < 10'000'000);
  ::close(ends[0]);
}

TEST_CASE("a held connection that is shut down is given back") {
  spawner s;
  const auto keeper = keeper_of(s);
  const auto process = last_child_of(keeper, "ropewalk-spawn");
  auto c = open(s, shell("exit 0"));
  REQUIRE(c.start({}, std::array{null(), null(), null()}) == 0);
  REQUIRE(wait_for(c).what == kind::ended); // what came before it has been taken by then
  const auto before = descriptors_of(process);
  const bool peer_goes = GENERATE(true, false);
  const bool is_tcp = GENERATE(true, false);
  for (int i = 0; i < 10; ++i) {
    std::array<int, 2> ends{-1, -1};
    if (is_tcp) {
      const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof address;
      REQUIRE(::bind(listening, reinterpret_cast<sockaddr*>(&address), size) == 0);
      REQUIRE(::listen(listening, 1) == 0);
      ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &size);
      ends[0] = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      REQUIRE(::connect(ends[0], reinterpret_cast<sockaddr*>(&address), size) == 0);
      ends[1] = ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC);
      ::close(listening);
    } else {
      REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    }
    s.hold(ends[0]);
    if (peer_goes) ::close(ends[1]);
    ::shutdown(ends[0], SHUT_RDWR);
    ::close(ends[0]);
    if (peer_goes) continue;
    char byte = 0;
    CHECK(::read(ends[1], &byte, 1) == 0); // at once
    ::close(ends[1]);
  }
  CHECK(eventually([&] { return descriptors_of(process) <= before; }));
}
