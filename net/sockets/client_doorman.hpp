#pragma once

#include "net/cluster/acceptor.hpp"
#include "net/sockets/hangup_watch.hpp"
#include "net/transport/stream.hpp"

#include <caf/io/doorman.hpp>
#include <functional>
#include <memory>
#include <sys/socket.h>

namespace ropewalk {

/// What a client_doorman is told; the functions are called on the loop's thread.
struct client_acceptor_settings {
  std::size_t max_message_bytes = 0;
  bool http = false;                     ///< who comes speaks HTTP, and not frames or lines
  std::shared_ptr<hangup_watch> hangups; ///< for connections that are not read
  std::shared_ptr<poll_set> bulk;        ///< for those that bring more than there is time for

  /// How bytes go over a connection that was accepted: plainly or by TLS. Null: it cannot be
  /// served, and is closed.
  std::function<std::unique_ptr<stream>(int fd)> speak;

  /// Lets a connection in, by its peer's address, with something that is kept as long as the
  /// connection is there; null: it may not come in, and is closed at once.
  std::function<std::shared_ptr<void>(const sockaddr_storage& peer)> admit;

  /// There is no descriptor left for a connection that waits, or only those that are kept for
  /// nodes: accepting has stopped until the broker calls `trigger` for this doorman, which it
  /// should do in a while.
  std::function<void()> on_descriptors_exhausted;
};

/// Accepts clients: every connection becomes a client_scribe of the broker that owns this doorman.
class client_doorman final : public caf::io::doorman {
public:
  /// Takes over `fd`, a listening socket.
  client_doorman(shared_loop& loop, int fd, client_acceptor_settings settings);

  /// Accepts what waits.
  bool new_connection() override;
  /// The same; true if there may be more.
  bool accept_waiting() { return acceptor_.accept_waiting(); }
  void launch() override { add_to_loop(); }
  void graceful_shutdown() override;
  std::string addr() const override;
  std::uint16_t port() const override;
  void add_to_loop() override { acceptor_.open(this); }
  void remove_from_loop() override { acceptor_.remove_from_loop(); }

private:
  void let_in(descriptor accepted, const sockaddr_storage& peer);

  shared_loop& loop_;
  client_acceptor_settings settings_;
  acceptor acceptor_;
};

} // namespace ropewalk
