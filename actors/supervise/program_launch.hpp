#pragma once

#include "actors/supervise/spawner_wire.hpp"
#include "net/transport/descriptor_passing.hpp"

#include <array>
#include <memory>
#include <sys/resource.h>
#include <sys/types.h>

namespace ropewalk {

/// Starts programs from a process of one thread, at the same cost however much memory that has: the
/// child shares it, which stands still, until it has a program of its own.
class program_launch {
public:
  /// What a program is started with; all of it the caller's.
  struct what {
    const char* path;
    const char* folder; ///< where it runs; empty: here
    char* const* arguments;
    char* const* environment;
    std::array<int, max_passed_descriptors> open; ///< as 0, 1, 2 and on; -1: not this one
    const rlimit* descriptors;
    const program_user* user; ///< null: as this process
    int nice;                 ///< so much nicer than it
  };

  /// The program's PID; it leads a process group of its own, and dies with this process. -1: it
  /// could not be started, and `failure` says why.
  pid_t start(const what& program, start_failure& failure);

private:
  // A few calls and execve's own.
  static constexpr std::size_t stack_bytes = 64 * 1024;
  std::unique_ptr<char[]> stack_ = std::make_unique<char[]>(stack_bytes);
};

} // namespace ropewalk
