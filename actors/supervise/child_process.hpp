#pragma once

#include "net/transport/socket.hpp"

#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace ropewalk {

/// A process of this program that was started by this one, and the pipe to which it writes lines.
///
/// It is forked and executed plainly, and not by the spawner: a master has one thread and little
/// memory, so that a fork costs nothing; its children are to drain at its death, where a spawner
/// would kill them; and each of them has a spawner of its own.
class child_process {
public:
  /// The command line of a process that writes to the descriptor `fd`.
  using command = std::function<std::vector<std::string>(int fd)>;

  /// Nothing: it cannot be started, and errno says why. SIGTERM, SIGINT and SIGHUP must be blocked,
  /// and stay so in the child: what is sent to it before it can listen waits for it.
  static std::optional<child_process> start(const command& words);

  [[nodiscard]] pid_t pid() const { return pid_; }

  /// Readable when it may have written something; -1 once it cannot write any more.
  [[nodiscard]] int fd() const { return control_pipe_.get(); }

  /// The lines that have come to their end; does not wait for more.
  std::vector<std::string> read_lines();

private:
  child_process(pid_t pid, descriptor control_pipe)
      : pid_(pid), control_pipe_(std::move(control_pipe)) {}

  pid_t pid_;
  descriptor control_pipe_; // what it writes
  std::string line_;        // as much of the next one as has come
};

} // namespace ropewalk
