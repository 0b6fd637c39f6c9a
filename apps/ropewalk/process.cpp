#include "apps/ropewalk/process.hpp"

#include "actors/messages.hpp"
#include "actors/supervise/memory_return.hpp"
#include "actors/supervise/stop_signals.hpp"
#include "apps/ropewalk/log.hpp"
#include "net/bytes/arena_marks.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/transport/socket.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
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
  // Who does not know compact_basp's frames, or what the batches in them say, does not get in: the
  // number changes with them.
  set("middleman.app-identifiers", std::vector<std::string>{"ropewalk 3"});
  // BASP messages are taken apart on the event loop's thread: one thread hop less a batch.
  set("middleman.workers", std::size_t{0});
  // A peer that is frozen or cut off is noticed within connection-timeout and one interval: below
  // the five seconds that are promised. CAF's standard is never.
  set("middleman.heartbeat-interval", caf::timespan{std::chrono::milliseconds{500}});
  set("middleman.connection-timeout", caf::timespan{std::chrono::seconds{3}});
}

void prepare_process() {
  // An open takes the lowest number that is free. What is open for its path only can be neither
  // read nor written (EBADF), which no /dev/null does: a reply that goes there would be a success.
  int fd = -1;
  do {
    fd = ::open("/", O_PATH);
  } while (fd >= 0 && fd <= 2);
  if (fd > 2) ::close(fd);
  for (const int number : {SIGPIPE, SIGHUP}) ::signal(number, SIG_IGN);
}

void unblock_signals() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

namespace {

constexpr int kept_bytes = 64 * 1024 * 1024; // of an arena's free end

} // namespace

void tune_allocator() {
  // Messages of any size come from the heap and their memory stays with it, up to so much: glibc's
  // standard gives a freed 2 MiB message back to the kernel and pays for every page of the next one
  // (a third of the time at 64 KiB).
  ::mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
  ::mallopt(M_TRIM_THRESHOLD, kept_bytes);
}

namespace {

// All that is free goes back, in every arena.
void give_free_memory_back() {
  ::mallopt(M_TRIM_THRESHOLD, 0);
  arena_marks::free_all();
  ::mallopt(M_TRIM_THRESHOLD, kept_bytes);
  ::malloc_trim(0);
}

// Gives back what a burst has left behind, as memory_return decides; on the main thread, which has
// nothing else to do: no event loop waits for it, but for the moment that it holds an arena's lock.
class heap {
public:
  heap() { arena_marks::free_all(); } // there are none, but will be

  void tick() {
    const auto resident = resident_bytes();
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    const auto processor_time =
        std::chrono::seconds{used.tv_sec} + std::chrono::nanoseconds{used.tv_nsec};
    if (!decides_.is_time(std::chrono::steady_clock::now(), processor_time, resident) ||
        !decides_.is_worth_it(resident, in_use()))
      return;
    give_free_memory_back();
    const auto left = resident_bytes();
    decides_.given_back(left, in_use());
    spdlog::debug("{} MiB of free memory went back to the system",
                  (resident - std::min(resident, left)) / limits::mib);
  }

private:
  static std::uint64_t in_use() {
    const auto all = ::mallinfo2();
    return all.uordblks + all.hblkhd;
  }

  // Without what is shared with others, such as rings; 0 if there is no /proc: then all is kept.
  [[nodiscard]] std::uint64_t resident_bytes() const {
    std::array<char, 128> text{};
    if (::pread(statm_.get(), text.data(), text.size() - 1, 0) <= 0) return 0;
    unsigned long long resident = 0;
    unsigned long long shared = 0;
    if (std::sscanf(text.data(), "%*u %llu %llu", &resident, &shared) != 2) return 0;
    return (resident - std::min(resident, shared)) *
           static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  }

  descriptor statm_{::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)};
  memory_return decides_;
};

} // namespace

void allow_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::uint64_t descriptor_limit() {
  rlimit limit{};
  return ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : RLIM_INFINITY;
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
  heap memory;
  auto next_look = std::chrono::steady_clock::now() + memory_return::interval;
  while (true) {
    const auto before = std::chrono::steady_clock::now();
    const auto left = std::chrono::ceil<milliseconds>(next_look - before).count();
    ::poll(fds.data(), fds.size(), static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (std::chrono::steady_clock::now() >= next_look) {
      memory.tick();
      next_look = std::chrono::steady_clock::now() + memory_return::interval;
    }
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
