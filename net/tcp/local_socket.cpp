#include "net/tcp/local_socket.hpp"

#include "net/protocol/limits.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace ropewalk {

namespace {

struct local_address {
  sockaddr_un address{};
  socklen_t size = 0;

  explicit local_address(const endpoint& instead_of) {
    const auto name = "ropewalk/" + instead_of.text();
    address.sun_family = AF_UNIX;
    // The first byte stays zero: an abstract name.
    const auto bytes = std::min(name.size(), sizeof address.sun_path - 1);
    std::memcpy(address.sun_path + 1, name.data(), bytes);
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + bytes);
  }

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
};

descriptor make_local_socket() {
  return descriptor{::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
}

socket_error failure(const char* what, const endpoint& instead_of) {
  return {std::string{what} + " the local socket of " + instead_of.text() + ": " +
          std::strerror(errno)};
}

bool is_trusted(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == ::geteuid());
}

} // namespace

socket_result listen_local(const endpoint& instead_of) {
  auto fd = make_local_socket();
  const local_address where{instead_of};
  if (!fd.valid() || ::bind(fd.get(), where.get(), where.size) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0)
    return failure("cannot listen on", instead_of);
  return fd;
}

socket_result connect_local(const endpoint& instead_of) {
  if (instead_of.host != "127.0.0.1" && instead_of.host != "localhost")
    return socket_error{instead_of.text() + " may be another machine"};
  // As with TCP who listens on this address comes before who listens on all.
  for (const auto* host : {"127.0.0.1", "0.0.0.0", "::"}) {
    auto fd = make_local_socket();
    const local_address where{{host, instead_of.port}};
    if (!fd.valid()) break;
    if (::connect(fd.get(), where.get(), where.size) != 0) continue;
    if (is_trusted(fd.get())) {
      widen_local(fd.get());
      return fd;
    }
    return socket_error{"the local socket of " + instead_of.text() + " is another user's"};
  }
  return failure("cannot connect to", instead_of);
}

void widen_local(int fd) {
  const int bytes = limits::local_socket_bytes;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

} // namespace ropewalk
