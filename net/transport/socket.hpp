#pragma once

#include "net/protocol/result.hpp"
#include "net/transport/endpoint.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace ropewalk {

/// Owns a file descriptor.
class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    if (this != &other) {
      close();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~descriptor() { close(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void close();

private:
  int fd_ = -1;
};

/// An address of a socket, as the system's calls have it.
struct socket_address {
  sockaddr_storage bytes{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&bytes); }
  [[nodiscard]] std::string text() const; ///< without the port
};

/// The failures below name the address and say what to do.
///
/// The addresses that a name has, in the order in which they should be tried. "localhost" is
/// 127.0.0.1 and ::1 whatever a resolver says (RFC 6761). Blocks.
result<std::vector<socket_address>> resolve(const endpoint& where);

/// A connected TCP socket: non-blocking, close-on-exec, without Nagle's delay. Tries the addresses
/// that the name has as connect_race says, all within `timeout`. Blocks.
result<descriptor> connect_tcp(const endpoint& where, std::chrono::milliseconds timeout);

/// The same with addresses that are known; `where` is for people.
result<descriptor> connect_tcp(const endpoint& where, const std::vector<socket_address>& addresses,
                               std::chrono::milliseconds timeout);

/// True where nobody else's machine can be behind it: the addresses 127.0.0.0/8 and ::1, however
/// they are written, and "localhost". Of other names nobody knows whose they are tomorrow.
bool is_loopback(const endpoint& where);

/// Whether other sockets of this user may listen on the same port; then new connections are spread
/// over them (SO_REUSEPORT).
enum class port_use : std::uint8_t { alone, shared };

/// A listening TCP socket on the first address that the name has; port 0 takes a free one.
/// "0.0.0.0" is every IPv4 address, "::" every address.
result<descriptor> listen_tcp(const endpoint& where, port_use use = port_use::alone);

/// What "localhost" stands for where somebody listens: 127.0.0.1 and ::1, of which this machine may
/// have no ::1. With port 0, a port that is free on both. Any other endpoint is only itself. The
/// port may be taken before somebody listens there.
result<std::vector<endpoint>> listening_addresses(const endpoint& where);

/// Takes a port (0: a free one) on which sockets of this process are going to listen with
/// port_use::shared: as long as this one lives the system gives it to nobody. Unlike those it fails
/// if anybody listens there already.
result<descriptor> reserve_port(const endpoint& where);

/// The local address of a socket.
endpoint local_endpoint(int fd);

/// Whether a call failed with `error` (errno) because this process, or the system, may have no
/// further descriptor or socket.
bool out_of_descriptors(int error);

/// Whether a descriptor is one of the last that this process may have: clients get none of these
/// (limits::kept_descriptors), so that nodes still come in.
bool is_among_the_last(int fd);

} // namespace ropewalk
