#pragma once

#include "actors/supervise/restart_policy.hpp"

#include <functional>
#include <string>
#include <vector>

namespace ropewalk {

struct master_settings {
  std::uint32_t processes = 1;
  milliseconds drain_time{30'000};
  restart_policy::settings restarts; ///< of one place
  /// The command line of the process for place `place` (0, 1, ...), the `generation`-th one there,
  /// that writes to the descriptor `fd`; `after_fall` if it stands in for one that fell.
  std::function<std::vector<std::string>(std::uint32_t place, std::uint32_t generation, int fd,
                                         bool after_fall)>
      command;
};

/// Runs `processes` node processes on this machine and keeps them running; returns the exit status
/// when all have ended. No actors here: this is the process above them, in the manner of a
/// pre-forking server's master.
///
/// Each place has one process. One that falls is started again, after the policy's pause; too many
/// falls of one place in the policy's window, and the master ends all and returns 1. A process that
/// writes "recycle" is replaced: another is started beside it, and only when that has written
/// "joined" is the old one told to drain (SIGTERM). SIGTERM or SIGINT drain all of them; a second
/// one kills them. If the master dies, the kernel sends them SIGTERM.
int run_master(const master_settings& settings);

} // namespace ropewalk
