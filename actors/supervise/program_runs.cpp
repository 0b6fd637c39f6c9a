#include "actors/supervise/program_runs.hpp"

#include "actors/supervise/process_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <string>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

namespace ropewalk {

namespace {

sigset_t all_signals() {
  sigset_t all;
  ::sigfillset(&all);
  return all;
}

} // namespace

program_runs::program_runs(const rlimit& descriptors) : descriptors_(descriptors) {
  const auto all = all_signals();
  signals_ = descriptor{::signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK)};
  watch(control_fd, control_id, EPOLLIN);
  watch(lifeline_fd, lifeline_id, 0);
  watch(signals_.get(), signals_id, EPOLLIN);
  watch(timer_.get(), timer_id, EPOLLIN);
}

void program_runs::watch(int fd, std::uint64_t id, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

// To close a descriptor would not do while another process has a duplicate of it.
void program_runs::forget(int fd) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void program_runs::let_go(std::uint64_t held) {
  const auto found = held_.find(held);
  if (found == held_.end()) return;
  forget(found->second.get());
  held_.erase(found);
}

void program_runs::work() {
  std::array<epoll_event, 64> events;
  for (;;) {
    const int count =
        ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    const std::span event{events.data(), static_cast<std::size_t>(std::max(count, 0))};
    // Nothing is started for a node that is gone.
    for (const auto& e : event)
      if (e.data.u64 <= lifeline_id && (e.events & (EPOLLHUP | EPOLLERR)) != 0) end_all();
    for (const auto& e : event) {
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

void program_runs::take_control() {
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

void program_runs::take_from(std::uint64_t id, channel& from, std::uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0) return close_channel(id, from);
  auto p = take_packet(from.socket.get(), packet_);
  if (p.state == packet::state::over) return close_channel(id, from);
  if (p.state == packet::state::none || p.bytes == 0) return;
  if (packet_[0] == spawner_wire::start)
    take_start(from, {packet_.data() + 1, p.bytes - 1}, p);
  else if (packet_[0] == spawner_wire::adopt)
    take_adopt(from, {packet_.data() + 1, p.bytes - 1});
  else if (packet_[0] == spawner_wire::release && from.run)
    from.run->held.close();
  else if (packet_[0] == spawner_wire::kill && p.bytes == 2)
    send_signal(from, packet_[1]);
  else if (packet_[0] == spawner_wire::measure && from.run && !from.run->status)
    tell(from, {spawner_wire::event::kind::measured, {}, kib_of(*from.run)});
}

// With all that it has started, also what has lost its parent since.
int program_runs::kib_of(const run& which) {
  std::vector<pid_t> all{which.pid};
  for (const auto pid : children_.read())
    if (pid != which.pid && !running_.contains(pid) && run_of(pid) == &which) all.push_back(pid);
  const auto bytes = memory_of(std::move(all), which.is_forked);
  return static_cast<int>(std::min<std::uint64_t>(bytes / 1024, INT32_MAX));
}

void program_runs::take_start(channel& from, std::string_view variables, packet& with) {
  using event = spawner_wire::event;
  if (from.run) return close_channel(0, from); // one at a time: it has lost count
  const auto beside = variables.empty() ? 0u : static_cast<unsigned char>(variables.front());
  const std::size_t own = beside & ~unsigned{spawner_wire::one_held};
  const bool one_held = (beside & spawner_wire::one_held) != 0;
  if (own == 0 || with.passed < own + (one_held ? 1 : 0))
    return tell(from, {event::kind::not_started, start_step::stdio, EMFILE});
  variables.remove_prefix(1);
  const auto number = ++last_run_;
  std::vector<char*> environment;
  environment.reserve(from.what.environment.size() + 8);
  for (auto& text : from.what.environment) environment.push_back(text.data());
  while (!variables.empty()) {
    environment.push_back(const_cast<char*>(variables.data()));
    variables.remove_prefix(std::min(variables.find('\0'), variables.size() - 1) + 1);
  }
  const auto mark = spawner_wire::mark_of('s', number);
  auto marked = std::string{spawner_wire::mark_name} + '=' + mark;
  environment.push_back(marked.data());
  environment.push_back(nullptr);
  start_failure failure;
  std::array<int, max_passed_descriptors> open{};
  open.fill(-1);
  for (std::size_t i = 0; i < own; ++i) open[i] = with.descriptors[i].get();
  const auto pid = launch_.start({from.what.path.c_str(), from.what.folder.c_str(),
                                  from.arguments.data(), environment.data(), open, &descriptors_,
                                  from.what.user ? &*from.what.user : nullptr, from.what.nice},
                                 failure);
  if (pid < 0) return tell(from, {event::kind::not_started, failure.step, failure.error});
  from.run = run{pid, number, {pid}, {}, 0, false, {}, mark};
  if (one_held) from.run->held = std::move(with.descriptors[own]);
  running_[pid] = &*from.run;
}

// It was left here by the end of its parent, so that it is this process's child, and belongs to the
// run that has forked it until it is a run by itself.
void program_runs::take_adopt(channel& from, std::string_view what) {
  using event = spawner_wire::event;
  pid_t pid = 0;
  if (from.run || what.size() < sizeof pid) return close_channel(0, from);
  std::memcpy(&pid, what.data(), sizeof pid);
  const auto refuse = [&](int error) {
    tell(from, {event::kind::not_started, start_step::adoption, error});
  };
  siginfo_t info{};
  if (pid <= 0 || ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
    return refuse(::kill(pid, 0) == 0 ? ECHILD : ESRCH);
  const auto* const whose = running_.contains(pid) ? nullptr : run_of(pid);
  if (!whose || whose->status) return refuse(EPERM);
  // Allowed for a child that has not executed a program since; and surely its own from now on.
  if (::setpgid(pid, pid) != 0 && ::getpgid(pid) != pid) {
    const int error = errno;
    ::kill(pid, SIGKILL);
    return refuse(error);
  }
  orphans_.erase(pid);
  from.run =
      run{pid, ++last_run_, {pid}, {}, 0, false, {}, std::string{what.substr(sizeof pid)}, true};
  running_[pid] = &*from.run;
  tell(from, {event::kind::adopted, {}, 0});
}

// Its slot is gone, whatever became of it: so is its run.
void program_runs::close_channel(std::uint64_t id, channel& which) {
  forget(which.socket.get());
  which.socket.close();
  if (which.run)
    send_signal(which, SIGKILL);
  else
    channels_.erase(id);
}

void program_runs::send_signal(const channel& to, int signal) {
  // Not reaped yet, so that the number is nobody else's.
  if (!to.run || to.run->status) return;
  ::kill(-to.run->pid, signal);
  ::kill(to.run->pid, signal); // it may have left its group
}

void program_runs::tell(const channel& to, const spawner_wire::event& what) {
  send_packet(to.socket.get(), {reinterpret_cast<const char*>(&what), sizeof what});
}

void program_runs::reap() {
  signalfd_siginfo signal{};
  while (::read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
  }
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) break;
    const auto main = running_.find(info.si_pid);
    // While it is not reaped its group is surely its own.
    if (main != running_.end()) ::kill(-info.si_pid, SIGKILL);
    int status = SIGKILL; // of whom nothing is known, it is no success
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
void program_runs::finish_ended(int waited) {
  end_leftovers();
  for (auto at = channels_.begin(); at != channels_.end();) {
    auto& c = at->second;
    const bool over = c.run && c.run->status &&
                      (!c.run->has_leftovers || (c.run->waits += waited) > max_killed_waits);
    if (!over) {
      ++at;
      continue;
    }
    if (c.socket.valid()) tell(c, {spawner_wire::event::kind::ended, {}, *c.run->status});
    c.run.reset();
    --ended_;
    at = c.socket.valid() ? std::next(at) : channels_.erase(at);
  }
  set_timer();
}

// Ticks while a run waits for what it has left behind.
void program_runs::set_timer() {
  std::uint64_t ticks = 0;
  if (timer_runs_ && ::read(timer_.get(), &ticks, sizeof ticks) < 0 && ended_ > 0) return;
  if (std::exchange(timer_runs_, ended_ > 0) == (ended_ > 0)) return;
  // A run's answer waits for what its program has left behind, which is under SIGKILL.
  const timespec period{0, ended_ > 0 ? std::chrono::nanoseconds{killed_wait}.count() : 0};
  const itimerspec when{period, period};
  ::timerfd_settime(timer_.get(), 0, &when, nullptr);
}

void program_runs::end_leftovers() {
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
program_runs::run* program_runs::run_of(pid_t orphan) {
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
    const auto mark = children_.environment_of(orphan, std::string{spawner_wire::mark_name});
    found = by([&](const run& r) { return mark == r.mark; });
  }
  if (!found) return nullptr;
  seen = {true, found->number};
  if (session != ::getsid(0)) found->groups.insert(found->groups.end(), {session, group});
  return found;
}

void program_runs::end_all() {
  for (const auto& [id, c] : channels_) send_signal(c, SIGKILL);
  end_descendants(children_);
  ::_exit(0);
}

} // namespace ropewalk
