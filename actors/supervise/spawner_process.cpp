#include "actors/supervise/spawner_process.hpp"

#include "actors/supervise/descendants.hpp"
#include "actors/supervise/spawner_wire.hpp"
#include "net/transport/descriptor_passing.hpp"
#include "net/transport/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <memory>
#include <optional>
#include <sched.h>
#include <span>
#include <string>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ropewalk {

namespace {

// The lowest descriptors, in both processes: stdin and stdout are nothing, stderr stays.
constexpr int control_fd = 3;
constexpr int lifeline_fd = 4; // of the spawner: closes when the keeper dies

// How long a run's answer waits for what the program has left behind, which is under SIGKILL: so
// many waits in which nothing ended.
constexpr long one_wait_ns = 10'000'000;
constexpr int most_waits = 200;

// What a program has of the memory that it shares with the spawner until it is executed: a few
// calls and execve's own.
constexpr std::size_t stack_bytes = 64 * 1024;

sigset_t all_signals() {
  sigset_t all;
  ::sigfillset(&all);
  return all;
}

// Everything from `first` on.
void close_from(int first) {
#ifdef SYS_close_range
  if (::syscall(SYS_close_range, static_cast<unsigned>(first), ~0U, 0U) == 0) return;
#endif
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto end = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, 1 << 20));
  for (int fd = first; fd < end; ++fd) ::close(fd);
}

void open_nothing(int as, int flags) {
  int fd = ::open("/dev/null", flags | O_CLOEXEC);
  if (fd < 0) fd = ::eventfd(0, EFD_CLOEXEC); // no /dev: the number is taken all the same
  if (fd == as) return;
  ::dup2(fd, as);
  ::close(fd);
}

void keep_no_descriptor_but(int control) {
  const int safe = ::fcntl(control, F_DUPFD_CLOEXEC, lifeline_fd + 1);
  ::dup3(safe, control_fd, O_CLOEXEC);
  close_from(control_fd + 1);
  open_nothing(0, O_RDONLY);
  open_nothing(1, O_WRONLY);
  if (::fcntl(2, F_GETFD) < 0) open_nothing(2, O_WRONLY);
}

// What the child knows until its program takes over. It shares the spawner's memory, which stands
// still meanwhile: `failure` is how it says why it did not get there.
struct launch {
  const char* path;
  const char* folder; // empty: none
  char* const* arguments;
  char* const* environment;
  std::array<int, 3> stdio;
  const rlimit* descriptors;
  pid_t spawner;
  start_failure failure;
};

int fail(launch& l, start_step step) {
  l.failure = {step, errno};
  return 127;
}

// In the child, on a stack of its own. Nothing here may take a lock or allocate.
int child(void* what) {
  auto& l = *static_cast<launch*>(what);
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != l.spawner) return 127; // it died before that was arranged
  for (int i = 0; i < 3; ++i)
    if (::dup2(l.stdio[static_cast<std::size_t>(i)], i) < 0) return fail(l, start_step::stdio);
  ::setrlimit(RLIMIT_NOFILE, l.descriptors);
  if (*l.folder != '\0' && ::chdir(l.folder) != 0) return fail(l, start_step::folder);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::execve(l.path, l.arguments, l.environment);
  return fail(l, start_step::program);
}

// A program that runs, or has come to its end while something that it left behind lives on.
struct run {
  pid_t pid = 0;
  std::uint64_t number = 0;
  std::vector<pid_t> groups; // process groups and sessions that are this run's
  std::optional<int> status; // it has come to its end
  int waits = 0;
  bool has_leftovers = false;
};

// One slot's.
struct channel {
  descriptor socket; // none: the slot is gone, and its run is on its way out
  program what;
  std::vector<char*> arguments;
  std::optional<ropewalk::run> run;
};

class process {
public:
  explicit process(const rlimit& descriptors);
  [[noreturn]] void work();

private:
  enum : std::uint64_t { control_id, lifeline_id, signals_id, timer_id, first_id };

  void watch(int fd, std::uint64_t id, std::uint32_t events);
  void forget(int fd);
  void let_go(std::uint64_t held);
  void take_control();
  void take_from(std::uint64_t id, channel& from, std::uint32_t events);
  void take_start(channel& from, std::string_view variables, const packet& with);
  void close_channel(std::uint64_t id, channel& which);
  static void send_signal(const channel& to, int signal);
  static void tell(const channel& to, const spawner_wire::news& what);
  void reap();
  void finish_ended(int waited = 0);
  void end_leftovers();
  run* run_of(pid_t orphan);
  void set_timer();
  [[noreturn]] void end_all();

  rlimit descriptors_;
  descriptor epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  descriptor signals_;
  descriptor timer_{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  bool timer_runs_ = false;
  child_list children_;
  std::unique_ptr<char[]> stack_ = std::make_unique<char[]>(stack_bytes);
  std::array<char, spawner_wire::max_start_bytes> packet_{};
  // Ids are never given again: an event for what was closed a moment ago finds nothing.
  std::map<std::uint64_t, channel> channels_;
  std::map<std::uint64_t, descriptor> held_;
  std::unordered_map<pid_t, run*> running_; // programs that have not come to their end, by PID
  std::uint64_t last_id_ = first_id;
  std::uint64_t last_run_ = 0;
  std::size_t ended_ = 0; // runs that wait for what they have left behind
  // Orphans of whom is known whose they are: the number of the run; else how many runs there had
  // been when they were first seen.
  struct owner {
    bool known = false;
    std::uint64_t number = 0;
  };
  std::map<pid_t, owner> orphans_;
};

process::process(const rlimit& descriptors) : descriptors_(descriptors) {
  const auto all = all_signals();
  signals_ = descriptor{::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK)};
  watch(control_fd, control_id, EPOLLIN);
  watch(lifeline_fd, lifeline_id, 0);
  watch(signals_.get(), signals_id, EPOLLIN);
  watch(timer_.get(), timer_id, EPOLLIN);
}

void process::watch(int fd, std::uint64_t id, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

// To close a descriptor would not do while another process has a duplicate of it.
void process::forget(int fd) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void process::let_go(std::uint64_t held) {
  const auto found = held_.find(held);
  if (found == held_.end()) return;
  forget(found->second.get());
  held_.erase(found);
}

void process::work() {
  std::array<epoll_event, 64> events;
  for (;;) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    const std::span news{events.data(), static_cast<std::size_t>(std::max(count, 0))};
    // Nothing is started for a node that is gone.
    for (const auto& e : news)
      if (e.data.u64 <= lifeline_id && (e.events & (EPOLLHUP | EPOLLERR)) != 0) end_all();
    for (const auto& e : news) {
      const auto id = e.data.u64;
      if (id == control_id)
        take_control();
      else if (id == signals_id)
        reap();
      else if (id == timer_id)
        finish_ended(1);
      else if (const auto found = channels_.find(id); found != channels_.end())
        take_from(id, found->second, e.events);
      else
        let_go(id); // its connection is over
    }
  }
}

void process::take_control() {
  auto p = take_packet(control_fd, packet_);
  if (p.state == packet::state::over) end_all();
  if (p.state == packet::state::none || p.bytes == 0) return;
  const auto id = ++last_id_;
  if (packet_[0] == spawner_wire::hold && p.passed == 1) {
    watch(p.descriptors[0].get(), id, 0); // hears of errors and of the end
    held_.emplace(id, std::move(p.descriptors[0]));
  } else if (packet_[0] == spawner_wire::open_channel && p.passed == 2) {
    std::string text;
    struct stat file {};
    ::fstat(p.descriptors[1].get(), &file);
    text.resize(static_cast<std::size_t>(file.st_size));
    if (::pread(p.descriptors[1].get(), text.data(), text.size(), 0) != file.st_size) return;
    auto& c = channels_[id];
    c.socket = std::move(p.descriptors[0]);
    c.what = spawner_wire::read(text);
    for (auto& word : c.what.arguments) c.arguments.push_back(word.data());
    c.arguments.push_back(nullptr);
    watch(c.socket.get(), id, EPOLLIN);
  }
  // What did not get through for want of descriptors is closed: its slot hears of that.
}

void process::take_from(std::uint64_t id, channel& from, std::uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) return close_channel(id, from);
  const auto p = take_packet(from.socket.get(), packet_);
  if (p.state == packet::state::over) return close_channel(id, from);
  if (p.state == packet::state::none || p.bytes == 0) return;
  if (packet_[0] == spawner_wire::start)
    take_start(from, {packet_.data() + 1, p.bytes - 1}, p);
  else if (packet_[0] == spawner_wire::kill && p.bytes == 2)
    send_signal(from, packet_[1]);
}

void process::take_start(channel& from, std::string_view variables, const packet& with) {
  using news = spawner_wire::news;
  if (from.run) return close_channel(0, from); // one at a time: it has lost count
  if (with.passed < 3) return tell(from, {news::kind::not_started, start_step::stdio, EMFILE});
  const auto number = ++last_run_;
  std::vector<char*> environment;
  environment.reserve(from.what.environment.size() + 8);
  for (auto& text : from.what.environment) environment.push_back(text.data());
  while (!variables.empty()) {
    environment.push_back(const_cast<char*>(variables.data()));
    variables.remove_prefix(std::min(variables.find('\0'), variables.size() - 1) + 1);
  }
  auto mark = "ROPEWALK_RUN=" + std::to_string(::getpid()) + "." + std::to_string(number);
  environment.push_back(mark.data());
  environment.push_back(nullptr);
  launch l{from.what.path.c_str(),
           from.what.folder.c_str(),
           from.arguments.data(),
           environment.data(),
           {with.descriptors[0].get(), with.descriptors[1].get(), with.descriptors[2].get()},
           &descriptors_,
           ::getpid(),
           {}};
  // Not fork(): a child that shares the memory until it has a program of its own costs the same
  // however much there is.
  const auto pid = ::clone(child, stack_.get() + stack_bytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &l);
  if (pid < 0) return tell(from, {news::kind::not_started, start_step::process, errno});
  if (l.failure.error != 0) {
    ::waitpid(pid, nullptr, 0);
    return tell(from, {news::kind::not_started, l.failure.step, l.failure.error});
  }
  from.run = ropewalk::run{pid, number, {pid}, {}, 0, false};
  running_[pid] = &*from.run;
}

// Its slot is gone, whatever became of it: so is its run.
void process::close_channel(std::uint64_t id, channel& which) {
  forget(which.socket.get());
  which.socket.close();
  if (which.run)
    send_signal(which, SIGKILL);
  else
    channels_.erase(id);
}

void process::send_signal(const channel& to, int signal) {
  // Not reaped yet, so that the number is nobody else's.
  if (!to.run || to.run->status) return;
  ::kill(-to.run->pid, signal);
  ::kill(to.run->pid, signal); // it may have left its group
}

void process::tell(const channel& to, const spawner_wire::news& what) {
  send_packet(to.socket.get(), {reinterpret_cast<const char*>(&what), sizeof what});
}

void process::reap() {
  signalfd_siginfo signal{};
  while (::read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
  }
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) break;
    const auto main = running_.find(info.si_pid);
    // While it is not reaped its group is surely its own.
    if (main != running_.end()) ::kill(-info.si_pid, SIGKILL);
    int status = 0;
    ::waitpid(info.si_pid, &status, 0);
    orphans_.erase(info.si_pid);
    if (main == running_.end()) continue;
    main->second->status = status;
    running_.erase(main);
    ++ended_;
  }
  if (ended_ > 0) finish_ended();
}

// Answers for the runs of which nothing is left.
void process::finish_ended(int waited) {
  end_leftovers();
  for (auto at = channels_.begin(); at != channels_.end();) {
    auto& c = at->second;
    const bool over =
        c.run && c.run->status && (!c.run->has_leftovers || (c.run->waits += waited) > most_waits);
    if (!over) {
      ++at;
      continue;
    }
    if (c.socket.valid()) tell(c, {spawner_wire::news::kind::ended, {}, *c.run->status});
    c.run.reset();
    --ended_;
    at = c.socket.valid() ? std::next(at) : channels_.erase(at);
  }
  set_timer();
}

// Ticks while a run waits for what it has left behind.
void process::set_timer() {
  std::uint64_t ticks = 0;
  if (timer_runs_ && ::read(timer_.get(), &ticks, sizeof ticks) < 0 && ended_ > 0) return;
  if (std::exchange(timer_runs_, ended_ > 0) == (ended_ > 0)) return;
  const timespec period{0, ended_ > 0 ? one_wait_ns : 0};
  const itimerspec when{period, period};
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

void process::end_leftovers() {
  auto oldest_running = last_run_ + 1;
  for (auto& [id, c] : channels_) {
    if (!c.run) continue;
    c.run->has_leftovers = false;
    if (!c.run->status) oldest_running = std::min(oldest_running, c.run->number);
  }
  for (const auto pid : children_.read()) {
    if (running_.contains(pid)) continue;
    auto* const whose = run_of(pid);
    if (whose && !whose->status) continue; // of a run that goes on
    if (whose) whose->has_leftovers = true;
    // Nobody's: it may be of any run that was there when it was first seen.
    const auto& seen = orphans_[pid];
    if (!whose && !seen.known) {
      if (seen.number >= oldest_running) continue;
      for (auto& [id, c] : channels_)
        if (c.run && c.run->status && c.run->number <= seen.number) c.run->has_leftovers = true;
    }
    kill_with_group(pid);
  }
}

// By its group or session, or by the mark in its environment; null if nothing says so, or the run
// is answered for.
run* process::run_of(pid_t orphan) {
  const auto by = [this](auto&& is_it) -> run* {
    for (auto& [id, c] : channels_)
      if (c.run && is_it(*c.run)) return &*c.run;
    return nullptr;
  };
  auto& seen = orphans_.try_emplace(orphan, owner{false, last_run_}).first->second;
  if (seen.known) return by([&](const run& r) { return r.number == seen.number; });
  const auto group = ::getpgid(orphan);
  const auto session = ::getsid(orphan);
  auto* found = by([&](const run& r) {
    return std::any_of(r.groups.begin(), r.groups.end(),
                       [&](pid_t g) { return g == group || g == session; });
  });
  if (!found) {
    const auto mark = children_.environment_of(orphan, "ROPEWALK_RUN");
    found = by([&](const run& r) {
      return mark == std::to_string(::getpid()) + "." + std::to_string(r.number);
    });
  }
  if (!found) return nullptr;
  seen = {true, found->number};
  if (session != ::getsid(0)) found->groups.insert(found->groups.end(), {session, group});
  return found;
}

void process::end_all() {
  for (const auto& [id, c] : channels_) send_signal(c, SIGKILL);
  end_descendants(children_);
  ::_exit(0);
}

[[noreturn]] void keep(pid_t spawner, const child_list& children) {
  while (::waitpid(spawner, nullptr, 0) < 0 && errno == EINTR) {
  }
  end_descendants(children);
  ::_exit(0);
}

} // namespace

void become_spawner(int control, const rlimit& descriptors) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_NAME, "ropewalk-keeper");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  // Blocked signals wait; ignored ones would stay ignored in programs.
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  keep_no_descriptor_but(control);
  std::array<int, 2> lifeline{};
  if (::pipe2(lifeline.data(), O_CLOEXEC) != 0) ::_exit(1);
  const auto spawner = ::fork();
  if (spawner < 0) ::_exit(1);
  if (spawner > 0) {
    ::close(control_fd);
    ::close(lifeline[0]);
    keep(spawner, child_list{});
  }
  ::close(lifeline[1]);
  if (lifeline[0] != lifeline_fd) {
    ::dup3(lifeline[0], lifeline_fd, O_CLOEXEC);
    ::close(lifeline[0]);
  }
  ::prctl(PR_SET_NAME, "ropewalk-spawn");
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  rlimit wide = descriptors;
  wide.rlim_cur = wide.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &wide);
  process{descriptors}.work();
}

} // namespace ropewalk
