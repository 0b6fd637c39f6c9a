#include "net/transport/socket.hpp"

#include "net/protocol/limits.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ropewalk {

void descriptor::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

namespace {

struct free_addresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using addresses = std::unique_ptr<addrinfo, free_addresses>;

result<addresses> resolve(const endpoint& where, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error =
      ::getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &list);
  if (error != 0) return failure{failure_kind::unavailable, ::gai_strerror(error), {}};
  return addresses{list};
}

descriptor make_socket(const addrinfo& address) {
  return descriptor{::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
}

// `error` is an errno.
failure_kind kind_of(int error) {
  return out_of_descriptors(error) ? failure_kind::exhausted : failure_kind::unavailable;
}

failure cannot_listen(const endpoint& where, const std::string& why, failure_kind kind) {
  return {kind, "cannot listen on " + where.text() + ": " + why, {}};
}

// 0, or the errno of what went wrong.
int connect_within(int fd, const addrinfo& address, std::chrono::milliseconds timeout) {
  if (::connect(fd, address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waiting{fd, POLLOUT, 0};
  if (::poll(&waiting, 1, static_cast<int>(timeout.count())) == 0) return ETIMEDOUT;
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

} // namespace

result<descriptor> connect_tcp(const endpoint& where, std::chrono::milliseconds timeout) {
  const auto list = resolve(where, 0);
  if (!list)
    return failure{
        list.why().kind, "cannot find host '" + where.host + "': " + list.why().what, {}};
  const auto end = std::chrono::steady_clock::now() + timeout;
  int error = 0;
  for (const auto* address = list->get(); address; address = address->ai_next) {
    auto fd = make_socket(*address);
    if (!fd.valid()) {
      error = errno;
      continue;
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    error = connect_within(fd.get(), *address, std::max(left, std::chrono::milliseconds{1}));
    if (error != 0) continue;
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
  }
  return failure{
      kind_of(error), "cannot connect to " + where.text() + ": " + std::strerror(error), {}};
}

namespace {

enum class then { stay_bound, listen };

result<descriptor> bind_tcp(const endpoint& where, port_use use, then next) {
  const auto list = resolve(where, AI_PASSIVE);
  if (!list) return cannot_listen(where, list.why().what, list.why().kind);
  const auto& address = **list;
  auto fd = make_socket(address);
  if (!fd.valid()) return cannot_listen(where, std::strerror(errno), kind_of(errno));
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (use == port_use::shared) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.ai_family == AF_INET6)
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd.get(), address.ai_addr, address.ai_addrlen) != 0 ||
      (next == then::listen && ::listen(fd.get(), SOMAXCONN) != 0)) {
    const auto kind = kind_of(errno);
    std::string why = std::strerror(errno);
    if (errno == EADDRINUSE)
      why += " (another process listens there; choose another port, or stop it)";
    return cannot_listen(where, why, kind);
  }
  return fd;
}

} // namespace

result<descriptor> listen_tcp(const endpoint& where, port_use use) {
  return bind_tcp(where, use, then::listen);
}

result<descriptor> reserve_port(const endpoint& where) {
  // Whoever shares the port already would let another one in: only one that does not share is told.
  if (where.port != 0) {
    auto alone = bind_tcp(where, port_use::alone, then::stay_bound);
    if (!alone) return alone;
  }
  return bind_tcp(where, port_use::shared, then::stay_bound);
}

endpoint local_endpoint(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host.data(), host.size(),
                    port.data(), port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return {};
  return {host.data(), static_cast<std::uint16_t>(std::stoi(port.data()))};
}

bool out_of_descriptors(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

bool is_among_the_last(int fd) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  const auto kept = std::min<rlim_t>(limits::kept_descriptors, limit.rlim_cur / 8);
  return static_cast<rlim_t>(fd) >= limit.rlim_cur - kept;
}

} // namespace ropewalk
