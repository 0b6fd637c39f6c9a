#pragma once

#include "net/transport/socket.hpp"

#include <chrono>
#include <string>
#include <sys/types.h>
#include <vector>

namespace ropewalk {

/// The children of the thread that made this object: those that it started, and, for a subreaper
/// (PR_SET_CHILD_SUBREAPER), those whose parents have died. Read from /proc; where there is none,
/// or another PID namespace's, it knows of nobody.
class child_list {
public:
  child_list();

  [[nodiscard]] std::vector<pid_t> read() const;

  /// What a process found as `NAME=` in its environment when its program was started; empty if that
  /// cannot be read. Only of children: the PIDs of others may belong to somebody else by now.
  [[nodiscard]] std::string environment_of(pid_t pid, const std::string& name) const;

private:
  descriptor list_;
};

/// What is under SIGKILL is waited for until in so many waits of this length nothing came to its end:
/// two seconds. What takes longer waits for a disk, say, and no signal ends it.
inline constexpr std::chrono::milliseconds killed_wait{10};
inline constexpr int max_killed_waits = 200;

/// SIGKILL for a child, and for its process group where that is surely of its own making: however
/// fast the members start others, none is left.
void kill_with_group(pid_t child);

/// Kills all children with SIGKILL, and theirs as they come (the caller is a subreaper), until
/// there are none; reaps all of them. Gives up on what cannot be killed after two seconds in which
/// nothing came to its end. SIGCHLD must be blocked.
void end_descendants(const child_list& children);

} // namespace ropewalk
