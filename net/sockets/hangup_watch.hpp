#pragma once

#include "net/cluster/loop_source.hpp"

#include <functional>
#include <memory>
#include <unordered_map>

namespace ropewalk {

/// Watches connections from which nothing is read for now, and of which the loop therefore says
/// nothing, for their end: a reset, or both halves closed. An epoll instance within the loop's own,
/// since that asks for more than the end, or for nothing at all.
///
/// All members run on the loop's thread.
class hangup_watch final : public loop_source {
public:
  explicit hangup_watch(shared_loop& loop);

  /// Begins, and ends; in between the loop may call, and keeps it alive.
  static std::shared_ptr<hangup_watch> open(shared_loop& loop);
  void close();

  /// Calls `tell`, once, when the connection over `fd` has come to its end. To be forgotten before
  /// the descriptor is closed.
  void watch(int fd, std::function<void()> tell);
  void forget(int fd);

private:
  void on_readable() override;
  void on_removed() override;

  std::unordered_map<int, std::function<void()>> watched_;
  std::shared_ptr<hangup_watch> alive_; // while the loop may call
};

} // namespace ropewalk
