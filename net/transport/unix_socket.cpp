#include "net/transport/unix_socket.hpp"

#include "net/protocol/limits.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace ropewalk {

namespace {

struct local_address {
  sockaddr_un address{};
  socklen_t size = 0;

  explicit local_address(const endpoint& instead_of) {
    const auto name = "ropewalk 1/" + instead_of.text(); // the number changes with what is said
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

failure with_errno(const char* what, const endpoint& instead_of) {
  return {out_of_descriptors(errno) ? failure_kind::exhausted : failure_kind::unavailable,
          std::string{what} + " the local socket of " + instead_of.text() + ": " +
              std::strerror(errno),
          {}};
}

// A message of one byte with room for a descriptor beside it.
struct one_byte {
  char byte = 'r';
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> beside{};
  msghdr message{};

  one_byte() {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = beside.data();
    message.msg_controllen = CMSG_LEN(sizeof(int)); // no room for a second one, which would be lost
  }
  one_byte(const one_byte&) = delete;
  one_byte& operator=(const one_byte&) = delete;
};

} // namespace

bool is_trusted(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         (peer.uid == 0 || peer.uid == ::geteuid());
}

bool give_descriptor(int socket, const descriptor& what) {
  one_byte m;
  if (what.valid()) {
    auto* const head = CMSG_FIRSTHDR(&m.message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    const int fd = what.get();
    std::memcpy(CMSG_DATA(head), &fd, sizeof fd);
  } else {
    m.message.msg_control = nullptr;
    m.message.msg_controllen = 0;
  }
  return ::sendmsg(socket, &m.message, MSG_NOSIGNAL | MSG_DONTWAIT) == 1;
}

std::optional<descriptor> take_descriptor(int socket, std::chrono::milliseconds timeout) {
  pollfd waiting{socket, POLLIN, 0};
  if (::poll(&waiting, 1, static_cast<int>(timeout.count())) != 1) return std::nullopt;
  one_byte m;
  if (::recvmsg(socket, &m.message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1) return std::nullopt;
  descriptor result;
  for (auto* head = CMSG_FIRSTHDR(&m.message); head; head = CMSG_NXTHDR(&m.message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t at = CMSG_LEN(0); at + sizeof(int) <= head->cmsg_len; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, reinterpret_cast<const char*>(head) + at, sizeof fd);
      descriptor one{fd};
      if (!result.valid()) result = std::move(one);
    }
  }
  return result;
}

result<descriptor> listen_local(const endpoint& instead_of) {
  auto fd = make_local_socket();
  const local_address where{instead_of};
  if (!fd.valid() || ::bind(fd.get(), where.get(), where.size) != 0 ||
      ::listen(fd.get(), SOMAXCONN) != 0)
    return with_errno("cannot listen on", instead_of);
  return fd;
}

result<descriptor> connect_local(const endpoint& instead_of) {
  if (instead_of.host != "127.0.0.1" && instead_of.host != "localhost")
    return failure{failure_kind::refused, instead_of.text() + " may be another machine", {}};
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
    return failure{failure_kind::refused,
                   "the local socket of " + instead_of.text() + " is another user's",
                   {}};
  }
  return with_errno("cannot connect to", instead_of);
}

void widen_local(int fd) {
  const int bytes = limits::local_socket_bytes;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

} // namespace ropewalk
