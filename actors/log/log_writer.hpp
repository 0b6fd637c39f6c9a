#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace ropewalk {

/// Writes lines to a descriptor on a thread of its own, so that whoever logs never waits for who
/// reads: a pipe that nobody empties, a full disk, a reader that is gone. Up to `max_bytes` wait;
/// what is dropped, or could not be written, is counted, and the count is written as soon as
/// something can be.
///
/// SIGPIPE must be ignored. The thread lives as long as the process if a write never returns: end
/// that with _exit.
class log_writer {
public:
  struct settings {
    int fd = -1; ///< stays the caller's
    std::size_t max_bytes = 0;
    /// The line that says that so many lines are missing, and why.
    std::function<std::string(std::uint64_t lines, std::string_view why)> missing;
  };

  /// Starts the thread.
  explicit log_writer(settings how);
  log_writer(const log_writer&) = delete;
  log_writer& operator=(const log_writer&) = delete;
  ~log_writer(); ///< the thread ends when it has written what there is; nobody waits for it

  /// Any thread; does not block. With its newline.
  void write(std::string line);

  /// Waits until everything was written or given up, or the time is over: then false.
  bool finish(std::chrono::milliseconds timeout);

private:
  class state;
  std::shared_ptr<state> state_; // the thread's as well
};

} // namespace ropewalk
