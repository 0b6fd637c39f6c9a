#include "actors/supervise/master.hpp"

#include "actors/supervise/child_process.hpp"
#include "net/transport/socket.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ropewalk {

namespace {

struct child {
  process_ref who;
  child_process process;
};

// Carries out what the supervisor decides, and tells it what happens.
class master {
public:
  explicit master(const master_settings& settings)
      : settings_(settings), supervisor_(settings.processes) {}

  int run();

private:
  using actions = process_supervisor::actions;
  using severity = process_supervisor::severity;

  void carry_out(const actions& what);
  void start(const process_supervisor::start& what);
  void send_signal(process_ref who, int number) const;
  void say(const process_supervisor::log& what) const;
  void wait_for_events(int signal_fd);
  void read_control_pipe(child& from);
  void handle_line(process_ref from, std::string_view line);
  void handle_signal(std::uint32_t number);
  void reap();
  void reaped(pid_t pid, const process_exit& how);
  [[nodiscard]] pid_t pid_of(process_ref who) const;
  [[nodiscard]] int timeout_ms() const;

  const master_settings& settings_;
  process_supervisor supervisor_;
  std::map<pid_t, child> children_; // that were not reaped: their pids are nobody else's
};

process_exit exit_of(int status) {
  if (WIFSIGNALED(status)) return {process_exit::kind::killed, WTERMSIG(status)};
  return {process_exit::kind::exited, WEXITSTATUS(status)};
}

void master::carry_out(const actions& what) {
  for (const auto& a : what) {
    if (const auto* begin = std::get_if<process_supervisor::start>(&a)) start(*begin);
    if (const auto* tell = std::get_if<process_supervisor::tell_to_leave>(&a))
      send_signal(tell->who, SIGTERM);
    if (const auto* kill = std::get_if<process_supervisor::kill>(&a))
      send_signal(kill->who, SIGKILL);
    if (const auto* log = std::get_if<process_supervisor::log>(&a)) say(*log);
  }
}

void master::start(const process_supervisor::start& what) {
  auto started = child_process::start(
      [&](int fd) { return settings_.command(what.who, fd, what.after_fall); });
  if (!started)
    return carry_out(supervisor_.start_failed(what.who, std::strerror(errno), settings_.now()));
  const auto pid = started->pid();
  children_.emplace(pid, child{what.who, std::move(*started)});
}

pid_t master::pid_of(process_ref who) const {
  const auto found = std::find_if(children_.begin(), children_.end(),
                                  [&](const auto& c) { return c.second.who == who; });
  return found == children_.end() ? 0 : found->first;
}

void master::send_signal(process_ref who, int number) const {
  if (const auto pid = pid_of(who); pid > 0) ::kill(pid, number);
}

void master::say(const process_supervisor::log& what) const {
  if (!what.who) return settings_.log(what.how, what.text);
  const auto pid = pid_of(*what.who);
  settings_.log(what.how, "process " + std::to_string(what.who->place + 1) +
                              (pid > 0 ? " (pid " + std::to_string(pid) + ")" : "") + " " +
                              what.text);
}

void master::handle_line(process_ref from, std::string_view line) {
  if (line == "joined") carry_out(supervisor_.joined(from, settings_.now()));
  if (line == "recycle") carry_out(supervisor_.recycle(from));
}

void master::read_control_pipe(child& from) {
  for (const auto& line : from.process.read_lines()) handle_line(from.who, line);
}

void master::reaped(pid_t pid, const process_exit& how) {
  const auto found = children_.find(pid);
  if (found == children_.end()) return; // an orphan, if this is a container's first process
  const auto who = found->second.who;
  children_.erase(found); // before another may be started: it may be given the same pid
  carry_out(supervisor_.exited(who, how, settings_.now()));
}

void master::reap() {
  int status = 0;
  pid_t pid = 0;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) reaped(pid, exit_of(status));
  if (pid == 0 || errno != ECHILD) return;
  // The kernel knows of no children: somebody else has waited for them, or nobody could.
  while (!children_.empty()) reaped(children_.begin()->first, {});
}

void master::handle_signal(std::uint32_t number) {
  if (number == SIGHUP) {
    settings_.on_reload();
    for (const auto& [pid, c] : children_) ::kill(pid, SIGHUP);
  }
  if (number == SIGTERM || number == SIGINT)
    carry_out(supervisor_.on_stop_requested(settings_.now()));
}

int master::timeout_ms() const {
  const auto next = supervisor_.next_time();
  if (!next) return -1;
  const auto left = std::chrono::ceil<milliseconds>(*next - settings_.now()).count();
  return static_cast<int>(std::max<std::int64_t>(0, left));
}

void master::wait_for_events(int signal_fd) {
  std::vector<pollfd> fds{{signal_fd, POLLIN, 0}};
  std::vector<child*> writers;
  for (auto& [pid, c] : children_) {
    if (c.process.fd() < 0) continue;
    fds.push_back({c.process.fd(), POLLIN, 0});
    writers.push_back(&c);
  }
  ::poll(fds.data(), fds.size(), timeout_ms());
  // Reading may start processes, which moves no child of the map.
  for (std::size_t i = 0; i < writers.size(); ++i)
    if (fds[i + 1].revents != 0) read_control_pipe(*writers[i]);
  signalfd_siginfo info{};
  while (::read(signal_fd, &info, sizeof info) == sizeof info) handle_signal(info.ssi_signo);
}

int master::run() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGCHLD}) ::sigaddset(&signals, number);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  const descriptor signal_fd{::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK)};
  if (!signal_fd.valid()) {
    settings_.log(severity::error, std::string{"cannot wait for signals ("} + std::strerror(errno) +
                                       "); raise `ulimit -n`");
    return 1;
  }
  carry_out(supervisor_.begin());
  while (!supervisor_.ended()) {
    wait_for_events(signal_fd.get());
    reap(); // and not only at SIGCHLD: whatever became of that signal, a broken pipe ends the poll
    carry_out(supervisor_.passed(settings_.now()));
  }
  return *supervisor_.ended();
}

} // namespace

int run_master(const master_settings& settings) {
  return master{settings}.run();
}

} // namespace ropewalk
