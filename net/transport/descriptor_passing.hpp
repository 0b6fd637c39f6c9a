#pragma once

#include "net/transport/socket.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace ropewalk {

/// Packets between processes of one machine, with descriptors beside the bytes: over a
/// socketpair(AF_UNIX, SOCK_SEQPACKET). Neither call waits.

/// As many descriptors as go with one packet: what a program has as stdin, stdout and stderr, and a
/// channel.
inline constexpr std::size_t max_passed_descriptors = 4;

/// Sends a packet; the descriptors stay the caller's. 0, or the errno of what went wrong.
int send_packet(int socket, std::string_view bytes, std::span<const int> descriptors = {});

struct packet {
  enum class state : std::uint8_t {
    none,  ///< nothing has come
    taken, ///< it is here
    over,  ///< who sent is gone
  };
  packet::state state = packet::state::none;
  std::size_t bytes = 0;
  std::array<descriptor, max_passed_descriptors> descriptors; ///< close-on-exec
  std::size_t passed = 0; ///< how many of them came: fewer than were sent if there is no room
};

/// Takes the next packet; what does not fit into `into` is lost.
packet take_packet(int socket, std::span<char> into);

} // namespace ropewalk
