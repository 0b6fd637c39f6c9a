#pragma once

#include "actors/supervise/process_supervisor.hpp"

#include <functional>
#include <string>
#include <vector>

namespace ropewalk {

struct master_settings {
  process_supervisor::settings processes;
  /// The command line of a process that writes to the descriptor `fd`; `after_fall` if it stands in
  /// for one that fell.
  std::function<std::vector<std::string>(process_ref who, int fd, bool after_fall)> command;
  std::function<void()> on_reload; ///< at SIGHUP, before it is passed on to the processes
  std::function<instant()> now;
  std::function<void(process_supervisor::severity, const std::string&)> log;
};

/// Runs node processes on this machine and keeps them running, as process_supervisor decides;
/// returns the exit status when all have ended. No actors and no threads here: this is the process
/// above them, in the manner of a pre-forking server's master.
///
/// A process writes "recycle" when it wants to be replaced, and "joined" when it is a member of its
/// broker. SIGTERM or SIGINT drain all of them; a second one, a second later or more, kills them
/// (limits::second_signal_ms). SIGHUP is passed on to all of them. If the master dies, they drain and end by themselves.
int run_master(const master_settings& settings);

} // namespace ropewalk
