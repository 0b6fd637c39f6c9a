#include "apps/ropewalk/process.hpp"

#include "actors/messages.hpp"
#include "actors/supervise/stop_signals.hpp"
#include "apps/ropewalk/log.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/transport/socket.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <malloc.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace ropewalk {

process_config::process_config() {
  add_message_types<caf::id_block::ropewalk>();
  shared_loop::use_for(*this);
  // Measured on two processors: half the latency of work stealing, and no idle CPU.
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", std::size_t{2});
  // Who does not know compact_basp's frames does not get in: the number changes with them.
  set("middleman.app-identifiers", std::vector<std::string>{"ropewalk 2"});
  // BASP messages are taken apart on the event loop's thread: one thread hop less a batch.
  set("middleman.workers", std::size_t{0});
  // A peer that is frozen or cut off is noticed within connection-timeout and one interval: below
  // the five seconds that are promised. CAF's standard is never.
  set("middleman.heartbeat-interval", caf::timespan{std::chrono::milliseconds{500}});
  set("middleman.connection-timeout", caf::timespan{std::chrono::seconds{3}});
}

void tune_allocator() {
  // Messages of any size come from the heap and their memory stays with it, up to so much: glibc's
  // standard gives a freed 2 MiB message back to the kernel and pays for every page of the next one
  // (a third of the time at 64 KiB).
  ::mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
}

void allow_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

namespace {

sigset_t signals_to_read() {
  sigset_t signals;
  ::sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&signals, number);
  return signals;
}

} // namespace

void take_signals() {
  const auto signals = signals_to_read();
  ::sigprocmask(SIG_SETMASK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  // Ignored by a parent, it would have the kernel forget how our children ended.
  ::signal(SIGCHLD, SIG_DFL);
}

int run_until_done(const std::vector<caf::actor>& tops, int master_fd) {
  const auto signals = signals_to_read();
  const descriptor signal_fd{::signalfd(-1, &signals, SFD_CLOEXEC)};
  const descriptor done{::eventfd(0, EFD_CLOEXEC)};
  if (!signal_fd.valid() || !done.valid()) {
    spdlog::error("cannot wait for signals ({}); raise `ulimit -n`", std::strerror(errno));
    return 1;
  }
  std::atomic<std::size_t> left{tops.size()};
  std::atomic<bool> good{true};
  for (const auto& top : tops)
    caf::actor_cast<caf::abstract_actor*>(top)->attach_functor([&](const caf::error& reason) {
      const bool well = !reason || reason == caf::exit_reason::normal ||
                        reason == caf::exit_reason::user_shutdown;
      if (!well) good = false;
      if (--left > 0 && well) return;
      const std::uint64_t one = 1;
      if (::write(done.get(), &one, sizeof one) < 0) std::abort();
    });
  const auto tell_all = [&tops](auto what) {
    for (const auto& top : tops) caf::anon_send(top, what);
  };
  const bool has_master = master_fd >= 0;
  stop_signals stop;
  // Of a pipe that is only written to, poll tells when nobody is left to read: the master is gone.
  // The kernel's signal at its death (PR_SET_PDEATHSIG) says so too, but a program with file
  // capabilities loses that when it is started.
  std::array<pollfd, 3> fds{pollfd{signal_fd.get(), POLLIN, 0}, pollfd{done.get(), POLLIN, 0},
                            pollfd{master_fd, 0, 0}};
  while (true) {
    ::poll(fds.data(), fds.size(), -1);
    if (fds[1].revents != 0) return good ? 0 : 1;
    if (fds[2].revents != 0) {
      fds[2] = {-1, 0, 0};
      spdlog::warn("the master is gone");
      tell_all(drain_atom_v);
    }
    signalfd_siginfo info{};
    if (fds[0].revents == 0 || ::read(signal_fd.get(), &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo == SIGHUP) {
      tell_all(reload_atom_v);
      continue;
    }
    const auto now = std::chrono::steady_clock::now();
    const auto meaning = stop.on_signal(now);
    if (meaning == stop_signals::meaning::drain) tell_all(drain_atom_v);
    if (meaning != stop_signals::meaning::end_at_once || has_master) continue;
    spdlog::warn("told again after {:.1f} s: ending at once", stop.since_first(now).count());
    return 1;
  }
}

void leave_process(int status) {
  finish_log();
  std::_Exit(status);
}

} // namespace ropewalk
