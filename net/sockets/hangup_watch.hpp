#pragma once

#include "net/transport/socket.hpp"

#include <caf/io/network/event_handler.hpp>
#include <functional>
#include <memory>
#include <unordered_map>

namespace ropewalk {

/// Watches connections from which nothing is read for now, and of which the loop therefore says
/// nothing, for their end: a reset, or both halves closed. An epoll instance within the loop's own,
/// since that asks for more than the end, or for nothing at all.
///
/// All members run on the loop's thread.
class hangup_watch final : public caf::io::network::event_handler {
public:
  explicit hangup_watch(caf::io::network::default_multiplexer& loop);

  /// Begins, and ends; in between the loop may call, and keeps it alive.
  static std::shared_ptr<hangup_watch> open(caf::io::network::default_multiplexer& loop);
  void close();

  /// Calls `tell`, once, when the connection over `fd` has come to its end. To be forgotten before
  /// the descriptor is closed.
  void watch(int fd, std::function<void()> tell);
  void forget(int fd);

  void handle_event(caf::io::network::operation) override;
  void removed_from_loop(caf::io::network::operation) override;
  void graceful_shutdown() override {}

private:
  std::unordered_map<int, std::function<void()>> watched_;
  std::shared_ptr<hangup_watch> alive_; // while the loop may call
};

} // namespace ropewalk
