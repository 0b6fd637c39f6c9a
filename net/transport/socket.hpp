#pragma once

#include "net/protocol/result.hpp"
#include "net/transport/endpoint.hpp"

#include <chrono>
#include <cstdint>
#include <utility>

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

/// The failures below name the address and say what to do.
///
/// A connected TCP socket: non-blocking, close-on-exec, without Nagle's delay. Tries every address
/// that the name has, all within `timeout`. Blocks.
result<descriptor> connect_tcp(const endpoint& where, std::chrono::milliseconds timeout);

/// Whether other sockets of this user may listen on the same port; then new connections are spread
/// over them (SO_REUSEPORT).
enum class port_use : std::uint8_t { alone, shared };

/// A listening TCP socket on the first address that the name has; port 0 takes a free one.
/// "0.0.0.0" is every IPv4 address, "::" every address.
result<descriptor> listen_tcp(const endpoint& where, port_use use = port_use::alone);

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
