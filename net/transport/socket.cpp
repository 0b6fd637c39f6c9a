#include "net/transport/socket.hpp"

#include "net/protocol/limits.hpp"
#include "net/transport/connect_race.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <strings.h>
#include <sys/resource.h>
#include <unistd.h>

namespace ropewalk {

void descriptor::close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

namespace {

struct free_addresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

bool is_localhost(const std::string& name) {
  return ::strcasecmp(name.c_str(), "localhost") == 0 ||
         ::strcasecmp(name.c_str(), "localhost.") == 0;
}

// Some that the name has; what getaddrinfo said otherwise.
int append_addresses(const endpoint& where, int flags, std::vector<socket_address>& to) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  const std::unique_ptr<addrinfo, free_addresses> list{error == 0 ? found : nullptr};
  for (const auto* one = list.get(); one; one = one->ai_next) {
    auto& address = to.emplace_back();
    std::memcpy(&address.bytes, one->ai_addr, one->ai_addrlen);
    address.size = one->ai_addrlen;
  }
  return error;
}

failure cannot_find(const endpoint& where, int error) {
  const std::string why = error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error);
  return {
      failure_kind::unavailable, "cannot find host '" + where.host + "': " + why,
      error == EAI_AGAIN
          ? "no name server answers: is this machine's network up (/etc/resolv.conf)?"
          : "is the name right? Neither this machine's /etc/hosts nor its name servers know it"};
}

descriptor make_socket(const socket_address& address) {
  return descriptor{
      ::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
}

// `error` is an errno.
failure_kind kind_of(int error) {
  return out_of_descriptors(error) ? failure_kind::exhausted : failure_kind::unavailable;
}

failure cannot_listen(const endpoint& where, const std::string& why, failure_kind kind) {
  return {kind, "cannot listen on " + where.text() + ": " + why, {}};
}

// Attempts to connect to some addresses, of which one is enough.
class connect_attempts {
public:
  connect_attempts(const std::vector<socket_address>& addresses, connect_race race)
      : addresses_(addresses), race_(std::move(race)), errors_(addresses.size(), ETIMEDOUT) {}

  // The first that is connected; not valid: none is by then.
  descriptor run(connect_race::time_point end);

  // Of what became of the attempts, address by address.
  [[nodiscard]] const std::vector<int>& errors() const { return errors_; }

private:
  using clock = std::chrono::steady_clock;

  struct attempt {
    std::size_t address;
    descriptor socket;
  };

  descriptor start_next();
  descriptor take_connected();
  void wait(connect_race::time_point until);

  const std::vector<socket_address>& addresses_;
  connect_race race_;
  std::vector<int> errors_;
  std::vector<attempt> open_;
  std::vector<pollfd> polled_; // of `open_`, one by one
};

descriptor connect_attempts::run(connect_race::time_point end) {
  for (;;) {
    if (auto connected = start_next(); connected.valid()) return connected;
    if ((open_.empty() && !race_.due()) || clock::now() >= end) return {};
    wait(std::min(end, race_.due().value_or(end)));
    if (auto connected = take_connected(); connected.valid()) return connected;
  }
}

// Those that are due; one that is connected at once.
descriptor connect_attempts::start_next() {
  while (const auto which = race_.next(clock::now())) {
    const auto& address = addresses_[*which];
    auto socket = make_socket(address);
    if (socket.valid() && ::connect(socket.get(), address.get(), address.size) == 0) return socket;
    if (socket.valid() && errno == EINPROGRESS) {
      open_.push_back({*which, std::move(socket)});
    } else {
      errors_[*which] = errno;
      race_.failed(clock::now());
    }
  }
  return {};
}

void connect_attempts::wait(connect_race::time_point until) {
  polled_.clear();
  for (const auto& a : open_) polled_.push_back({a.socket.get(), POLLOUT, 0});
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now());
  const auto timeout = std::clamp<std::int64_t>(left.count(), 0, std::numeric_limits<int>::max());
  ::poll(polled_.data(), polled_.size(), static_cast<int>(timeout));
}

descriptor connect_attempts::take_connected() {
  for (std::size_t i = polled_.size(); i-- > 0;) {
    if (polled_[i].revents == 0) continue;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(open_[i].socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error == 0) return std::move(open_[i].socket);
    errors_[open_[i].address] = error;
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    race_.failed(clock::now());
  }
  return {};
}

// One reason if it is the same for all addresses; else each with its own.
std::string reasons(const std::vector<socket_address>& addresses, const std::vector<int>& errors) {
  if (std::all_of(errors.begin(), errors.end(), [&](int e) { return e == errors[0]; }))
    return std::strerror(errors[0]);
  std::string result;
  for (std::size_t i = 0; i < errors.size(); ++i)
    result +=
        (i == 0 ? "" : ", ") + addresses[i].text() + ": " + std::string{std::strerror(errors[i])};
  return result;
}

} // namespace

std::string socket_address::text() const {
  std::array<char, NI_MAXHOST> host{};
  if (::getnameinfo(get(), size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) != 0)
    return "?";
  return host.data();
}

result<std::vector<socket_address>> resolve(const endpoint& where) {
  std::vector<socket_address> result;
  if (is_localhost(where.host)) {
    for (const auto* address : {"127.0.0.1", "::1"})
      append_addresses({address, where.port}, AI_NUMERICHOST, result);
    return result;
  }
  const int error = append_addresses(where, 0, result);
  if (error != 0) return cannot_find(where, error);
  return result;
}

result<descriptor> connect_tcp(const endpoint& where, std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  const auto addresses = resolve(where);
  if (!addresses) return addresses.why();
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  return connect_tcp(where, *addresses, std::max(left, std::chrono::milliseconds{1}));
}

result<descriptor> connect_tcp(const endpoint& where, const std::vector<socket_address>& addresses,
                               std::chrono::milliseconds timeout) {
  std::vector<int> families;
  for (const auto& address : addresses) families.push_back(address.bytes.ss_family);
  connect_attempts attempts{addresses, connect_race{families}};
  auto connected = attempts.run(std::chrono::steady_clock::now() + timeout);
  if (connected.valid()) {
    const int on = 1;
    ::setsockopt(connected.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connected;
  }
  const auto kind = kind_of(attempts.errors().back());
  return failure{kind,
                 "cannot connect to " + where.text() + ": " + reasons(addresses, attempts.errors()),
                 kind == failure_kind::exhausted ? "raise `ulimit -n`" : ""};
}

bool is_loopback(const endpoint& where) {
  if (is_localhost(where.host)) return true;
  std::vector<socket_address> address;
  if (append_addresses(where, AI_NUMERICHOST, address) != 0 || address.empty()) return false;
  if (address[0].bytes.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address[0].bytes);
    return ntohl(v4.sin_addr.s_addr) >> IN_CLASSA_NSHIFT == IN_LOOPBACKNET;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address[0].bytes).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6) ||
         (IN6_IS_ADDR_V4MAPPED(&v6) && v6.s6_addr[12] == IN_LOOPBACKNET);
}

namespace {

enum class then { stay_bound, listen };

result<descriptor> bind_tcp(const endpoint& where, port_use use, then next) {
  const auto addresses = resolve(where);
  if (!addresses) return cannot_listen(where, addresses.why().text(), addresses.why().kind);
  const auto& address = addresses->front();
  auto fd = make_socket(address);
  if (!fd.valid()) return cannot_listen(where, std::strerror(errno), kind_of(errno));
  const int on = 1;
  const int off = 0;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (use == port_use::shared) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.bytes.ss_family == AF_INET6)
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd.get(), address.get(), address.size) != 0 ||
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

result<std::vector<endpoint>> listening_addresses(const endpoint& where) {
  if (!is_localhost(where.host)) return std::vector{where};
  if (!bind_tcp({"::1", 0}, port_use::alone, then::stay_bound))
    return std::vector<endpoint>{{"127.0.0.1", where.port}};
  if (where.port != 0) return std::vector<endpoint>{{"127.0.0.1", where.port}, {"::1", where.port}};
  constexpr int max_tries = 20; // what is free on one may be taken on the other
  for (int tries = 0; tries < max_tries; ++tries) {
    const auto first = bind_tcp({"127.0.0.1", 0}, port_use::alone, then::stay_bound);
    if (!first) return first.why();
    const auto port = local_endpoint(first->get()).port;
    if (bind_tcp({"::1", port}, port_use::alone, then::stay_bound))
      return std::vector<endpoint>{{"127.0.0.1", port}, {"::1", port}};
  }
  return cannot_listen(where, "no port is free on both 127.0.0.1 and ::1", failure_kind::exhausted);
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
