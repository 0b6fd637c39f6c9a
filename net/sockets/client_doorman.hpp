#pragma once

#include <caf/io/network/doorman_impl.hpp>

namespace ropewalk {

/// Accepts clients: every connection becomes a client_scribe of the broker that owns this doorman.
class client_doorman final : public caf::io::network::doorman_impl {
public:
  /// Takes over `fd`, a listening socket.
  client_doorman(caf::io::network::default_multiplexer& loop, caf::io::network::native_socket fd,
                 std::size_t max_message_bytes)
      : doorman_impl(loop, fd), max_message_bytes_(max_message_bytes) {}

  bool new_connection() override;

private:
  std::size_t max_message_bytes_;
};

} // namespace ropewalk
