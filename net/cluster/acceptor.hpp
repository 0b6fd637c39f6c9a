#pragma once

#include "net/cluster/loop_source.hpp"
#include "net/transport/socket.hpp"

#include <caf/io/doorman.hpp>
#include <functional>
#include <sys/socket.h>

namespace ropewalk {

/// A listening socket at the event loop. CAF's own acceptor would be woken again and again for a
/// connection that there is no descriptor for. What is done about such a one is the one thing in
/// which clients and nodes differ:
///
/// - Clients do not come again: theirs wait in the backlog, and accepting pauses until somebody
///   adds this to the loop again. They also leave the last descriptors to nodes.
/// - A node does come again, and looks for another way in until then: its connection is closed, so
///   that it does not wait for a broker that cannot hear it.
class acceptor final : public loop_source {
public:
  enum class when_exhausted : std::uint8_t { pause, reject };

  struct settings {
    when_exhausted answer = when_exhausted::pause;

    /// A connection has come.
    std::function<void(descriptor accepted, const sockaddr_storage& peer)> on_accepted;

    /// There was no descriptor for one, and this paused or rejected it.
    std::function<void()> on_descriptors_exhausted;
  };

  acceptor(shared_loop& loop, descriptor listening, settings s);

  /// Accepts what comes from now on. `owner` is kept as long as the loop may call.
  void open(caf::intrusive_ptr<caf::io::doorman> owner);

  /// Accepts what waits, so many at a time; true if there may be more.
  bool accept_waiting();

private:
  void on_readable() override { accept_waiting(); }
  void on_failure() override;
  void on_removed() override { owner_.reset(); }
  [[nodiscard]] descriptor accept_one(sockaddr_storage& peer) const;
  [[nodiscard]] bool leaves_it_to_others() const;
  void pause();
  bool reject();

  settings settings_;
  descriptor spare_; // to be given up for a connection that is rejected
  caf::intrusive_ptr<caf::io::doorman> owner_;
  bool took_one_of_the_last_ = false;
};

} // namespace ropewalk
