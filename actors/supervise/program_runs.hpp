#pragma once

#include "actors/supervise/descendants.hpp"
#include "actors/supervise/program_launch.hpp"
#include "actors/supervise/spawner_wire.hpp"
#include "net/transport/descriptor_passing.hpp"
#include "net/transport/socket.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <unordered_map>
#include <vector>

namespace ropewalk {

/// What the spawner does all its life: it takes what the node says, starts programs, signals and
/// reaps them, and ends what they leave behind before it says that they have ended. (What it
/// promises, and the processes around it: spawner_process.hpp.)
class program_runs {
public:
  /// The descriptors that it finds: what the node says, and what closes when the keeper dies. (The
  /// lowest, in both processes, behind stdin and stdout, which are nothing, and stderr, which
  /// stays.)
  static constexpr int control_fd = 3;
  static constexpr int lifeline_fd = 4;

  /// `descriptors`: the limit that programs get. All signals must be blocked.
  explicit program_runs(const rlimit& descriptors);
  [[noreturn]] void work(); ///< until the node or the keeper is gone

private:
  // A program that runs, or has come to its end while something that it left behind lives on.
  struct run {
    pid_t pid = 0;
    std::uint64_t number = 0;
    std::vector<pid_t> groups; // process groups and sessions that are this run's
    std::optional<int> status; // it has come to its end
    int waits = 0;
    bool has_leftovers = false;
    descriptor held; // the writing end of its input: its end is not to be seen before all has come
    std::string mark;
    bool is_forked = false; // shares memory with others
  };

  // One slot's.
  struct channel {
    descriptor socket; // none: the slot is gone, and its run is on its way out
    program what;
    std::vector<char*> arguments;
    std::optional<program_runs::run> run;
  };

  enum : std::uint64_t { control_id, lifeline_id, signals_id, timer_id, first_id };

  void watch(int fd, std::uint64_t id, std::uint32_t events);
  void forget(int fd);
  void let_go(std::uint64_t held);
  void take_control();
  void take_from(std::uint64_t id, channel& from, std::uint32_t events);
  void take_start(channel& from, std::string_view variables, packet& with);
  void take_adopt(channel& from, std::string_view what);
  void close_channel(std::uint64_t id, channel& which);
  static void send_signal(const channel& to, int signal);
  static void tell(const channel& to, const spawner_wire::event& what);
  void reap();
  void finish_ended(int waited = 0);
  void end_leftovers();
  run* run_of(pid_t orphan);
  int kib_of(const run& which);
  void set_timer();
  [[noreturn]] void end_all();

  rlimit descriptors_;
  descriptor epoll_{::epoll_create1(EPOLL_CLOEXEC)};
  descriptor signals_;
  descriptor timer_{::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)};
  bool timer_runs_ = false;
  child_list children_;
  program_launch launch_;
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

} // namespace ropewalk
