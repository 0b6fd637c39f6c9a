#pragma once

#include "net/transport/socket.hpp"

#include <optional>

namespace ropewalk {

/// Stream sockets within a machine, in place of TCP over loopback: Unix sockets carry large
/// messages and single small ones about a tenth faster (tests/bench/README.md). They have abstract
/// names, of the network namespace and not of the file system, made from the TCP address that they
/// stand in for.

/// Listens beside a TCP socket that is bound to `instead_of`, whose host is an address.
result<descriptor> listen_local(const endpoint& instead_of);

/// Connects to who listens beside TCP on `instead_of`. A failure where nobody does, where the host
/// is not 127.0.0.1 or localhost, and where the listener is another user's (root's is trusted):
/// anybody can take such a name, and TCP it must be then.
result<descriptor> connect_local(const endpoint& instead_of);

/// True if the peer is a process of this user, or root's.
bool is_trusted(int fd);

/// The first byte on a local socket, from who accepted it: with it goes a descriptor, or none (an
/// invalid one). False if the connection is over.
bool give_descriptor(int socket, const descriptor& what);

/// Waits for that byte. Nothing if it does not come within `timeout`, or the connection is over.
std::optional<descriptor> take_descriptor(int socket, std::chrono::milliseconds timeout);

/// Lets the kernel hold limits::local_socket_bytes of an accepted socket, as of a connected one.
void widen_local(int fd);

} // namespace ropewalk
