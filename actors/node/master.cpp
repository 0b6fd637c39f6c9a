#include "actors/node/master.hpp"

#include "net/tcp/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <list>
#include <map>
#include <optional>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// Beyond its own drain time a process that was told to end gets this long before it is killed.
constexpr milliseconds grace{5000};

struct child {
  pid_t pid = 0;
  std::uint32_t place = 0;
  descriptor news; // what it writes
  std::string line;
  bool joined = false;
  bool leaving = false; // was told to end
  instant kill_at{};
};

class master {
public:
  explicit master(const master_settings& settings) : settings_(settings) {
    for (std::uint32_t i = 0; i < settings.processes; ++i)
      places_.push_back({restart_policy{settings.restarts, i + 1}, {}, 0});
  }

  int run();

private:
  struct place {
    restart_policy policy;
    std::optional<instant> start_at; // a fallen one's successor waits for this
    std::uint32_t generation = 0;
  };

  void start(std::uint32_t place, bool after_fall);
  void read_news(child& from);
  void handle_line(child& from, std::string_view line);
  void reap();
  void fell(const child& who, int status);
  void end(child& who);
  void end_all();
  void kill_all();
  void handle_signal(int number);
  [[nodiscard]] int next_timeout_ms() const;
  [[nodiscard]] bool has_successor(const child& who) const;

  const master_settings& settings_;
  std::vector<place> places_;
  std::list<child> children_;
  bool ending_ = false;
  int exit_status_ = 0;
};

instant clock_now() {
  return std::chrono::steady_clock::now();
}

std::string describe(int status) {
  if (WIFSIGNALED(status)) return std::string{"killed by signal "} + ::strsignal(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

void master::start(std::uint32_t at, bool after_fall) {
  auto& place = places_[at];
  place.start_at.reset();
  std::array<int, 2> ends{-1, -1};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    spdlog::error("cannot start a process: {}", std::strerror(errno));
    place.start_at = clock_now() + std::chrono::seconds{1};
    return;
  }
  child fresh;
  fresh.news = descriptor{ends[0]};
  descriptor theirs{ends[1]};
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  fresh.place = at;
  auto words = settings_.command(at, place.generation++, theirs.get(), after_fall);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const auto parent = ::getpid();
  fresh.pid = ::fork();
  if (fresh.pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    ::fcntl(theirs.get(), F_SETFD, 0);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv("/proc/self/exe", arguments.data());
    ::_exit(127);
  }
  if (fresh.pid < 0) {
    spdlog::error("cannot start a process: {}", std::strerror(errno));
    place.start_at = clock_now() + std::chrono::seconds{1};
    return;
  }
  children_.push_back(std::move(fresh));
}

void master::end(child& who) {
  if (std::exchange(who.leaving, true)) return;
  who.kill_at = clock_now() + settings_.drain_time + grace;
  ::kill(who.pid, SIGTERM);
}

void master::end_all() {
  ending_ = true;
  for (auto& place : places_) place.start_at.reset();
  for (auto& c : children_) end(c);
}

void master::kill_all() {
  for (const auto& c : children_) ::kill(c.pid, SIGKILL);
}

bool master::has_successor(const child& who) const {
  return places_[who.place].start_at ||
         std::any_of(children_.begin(), children_.end(), [&](const child& c) {
           return &c != &who && c.place == who.place && !c.leaving;
         });
}

void master::handle_line(child& from, std::string_view line) {
  if (line == "joined") {
    from.joined = true;
    for (auto& c : children_)
      if (&c != &from && c.place == from.place) end(c);
  } else if (line == "recycle" && !ending_ && !from.leaving && !has_successor(from)) {
    start(from.place, false);
  }
}

void master::read_news(child& from) {
  std::array<char, 256> buffer;
  const auto count = ::read(from.news.get(), buffer.data(), buffer.size());
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) from.news.close();
  if (count <= 0) return;
  from.line.append(buffer.data(), static_cast<std::size_t>(count));
  for (auto end = from.line.find('\n'); end != std::string::npos; end = from.line.find('\n')) {
    const auto line = from.line.substr(0, end);
    from.line.erase(0, end + 1);
    handle_line(from, line);
  }
}

void master::reap() {
  int status = 0;
  for (pid_t pid; (pid = ::waitpid(-1, &status, WNOHANG)) > 0;) {
    const auto found = std::find_if(children_.begin(), children_.end(),
                                    [pid](const child& c) { return c.pid == pid; });
    if (found == children_.end()) continue;
    const auto who = std::move(*found);
    children_.erase(found);
    if (!who.leaving && !ending_) fell(who, status);
  }
}

void master::fell(const child& who, int status) {
  if (has_successor(who)) return; // its replacement is under way
  auto& place = places_[who.place];
  const auto pause = place.policy.fell(clock_now());
  if (!pause) {
    spdlog::error("process {} fell {} times within {} ms, the last time by {}: giving up. See what "
                  "it wrote above; "
                  "start again when that is mended",
                  who.place + 1, settings_.restarts.restarts + 1, settings_.restarts.window.count(),
                  describe(status));
    exit_status_ = 1;
    return end_all();
  }
  spdlog::warn("process {} (pid {}) fell: {}; starting it again in {} ms", who.place + 1, who.pid,
               describe(status), pause->count());
  place.start_at = clock_now() + *pause;
}

void master::handle_signal(int number) {
  if (number == SIGCHLD) return reap();
  if (!ending_) return end_all();
  exit_status_ = 1;
  kill_all();
}

int master::next_timeout_ms() const {
  auto next = instant::max();
  for (const auto& place : places_)
    if (place.start_at) next = std::min(next, *place.start_at);
  for (const auto& c : children_)
    if (c.leaving) next = std::min(next, c.kill_at);
  if (next == instant::max()) return -1;
  return static_cast<int>(
      std::max<std::int64_t>(0, std::chrono::ceil<milliseconds>(next - clock_now()).count()));
}

int master::run() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) ::sigaddset(&signals, number);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const descriptor signal_fd{::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)};
  for (std::uint32_t i = 0; i < settings_.processes; ++i) start(i, false);
  while (!children_.empty() ||
         (!ending_ && std::any_of(places_.begin(), places_.end(),
                                  [](const place& p) { return p.start_at.has_value(); }))) {
    std::vector<pollfd> fds{{signal_fd.get(), POLLIN, 0}};
    std::vector<child*> talkers;
    for (auto& c : children_) {
      if (!c.news.valid()) continue;
      fds.push_back({c.news.get(), POLLIN, 0});
      talkers.push_back(&c);
    }
    ::poll(fds.data(), fds.size(), next_timeout_ms());
    for (std::size_t i = 0; i < talkers.size(); ++i)
      if (fds[i + 1].revents != 0) read_news(*talkers[i]);
    signalfd_siginfo info{};
    while (::read(signal_fd.get(), &info, sizeof info) == sizeof info)
      handle_signal(static_cast<int>(info.ssi_signo));
    const auto now = clock_now();
    for (std::uint32_t i = 0; i < places_.size(); ++i)
      if (places_[i].start_at && *places_[i].start_at <= now) start(i, true);
    for (auto& c : children_)
      if (c.leaving && c.kill_at <= now) ::kill(c.pid, SIGKILL);
  }
  return exit_status_;
}

} // namespace

int run_master(const master_settings& settings) {
  return master{settings}.run();
}

} // namespace ropewalk
