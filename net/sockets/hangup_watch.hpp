#pragma once

#include "net/cluster/poll_set.hpp"

#include <functional>
#include <memory>
#include <unordered_map>

namespace ropewalk {

/// Watches connections from which nothing is read for now, and of which the loop therefore says
/// nothing, for their end: a reset, or both halves closed.
///
/// All members run on the loop's thread.
class hangup_watch {
public:
  explicit hangup_watch(shared_loop& loop) : polls_(poll_set::open(loop)) {}
  hangup_watch(const hangup_watch&) = delete;
  hangup_watch& operator=(const hangup_watch&) = delete;
  ~hangup_watch() { close(); }

  /// Nobody is told anything any more.
  void close();

  /// Calls `tell`, once, when the connection over `fd` has come to its end. To be forgotten before
  /// the descriptor is closed.
  void watch(int fd, std::function<void()> tell);
  void forget(int fd);

private:
  std::shared_ptr<poll_set> polls_; // null: closed
  std::unordered_map<int, poll_set::id> watched_;
};

} // namespace ropewalk
