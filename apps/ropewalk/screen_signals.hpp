#pragma once

#include "net/transport/socket.hpp"

namespace ropewalk {

/// The signals of a command that shows something until it is told to end: blocked, for this thread
/// and those that it starts later, and read here. SIGINT and SIGTERM end it; SIGWINCH says that the
/// terminal has another size.
class screen_signals {
public:
  screen_signals();

  /// Readable (poll) when one has come.
  [[nodiscard]] int fd() const { return fd_.get(); }

  /// What has come since the last call.
  struct seen {
    bool end = false;
    bool resized = false;
  };
  [[nodiscard]] seen take() const;

private:
  descriptor fd_;
};

} // namespace ropewalk
