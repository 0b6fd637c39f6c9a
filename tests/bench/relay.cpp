// The yardstick of tests/bench/compare: a relay with the service's two hops (client, relay, worker,
// relay, client) and none of its features. What it does per message is the least that any such
// service can do; one process each:
//
//   relay broker CLIENT_PORT WORKER_PORT
//   relay worker WORKER_PORT                    echoes
//   relay load CLIENT_PORT BYTES WINDOW SECONDS CONNECTIONS      prints messages/s, p50 and p99 in
//   us
//
// Frames are u32 length, u64 id, payload; between relay and worker a u32 that names the client
// comes before the id.
#include <algorithm>
#include <arpa/inet.h>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <netinet/tcp.h>
#include <sched.h>
#include <string>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t read_bytes = 256 * 1024;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in loopback(int port) {
  sockaddr_in result{};
  result.sin_family = AF_INET;
  result.sin_port = htons(static_cast<std::uint16_t>(port));
  result.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return result;
}

int connect_to(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  const auto address = loopback(port);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    die("connect");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

int listen_on(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  const int on = 1;
  ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const auto address = loopback(port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(fd, 512) != 0)
    die("listen");
  return fd;
}

std::uint32_t load_length(const char* at) {
  std::uint32_t x;
  std::memcpy(&x, at, sizeof x);
  return ntohl(x);
}

// A connection: what was read and not yet taken apart, and what is to be written.
struct peer {
  int fd = -1;
  bool is_worker = false;
  std::uint32_t number = 0;
  bool dirty = false;
  bool waits_for_room = false;
  std::vector<char> in = std::vector<char>(read_bytes);
  std::size_t begin = 0, end = 0;
  std::vector<char> out;
  std::size_t sent = 0;

  // One read; 0 at the end of the stream, negative for "nothing there".
  ssize_t fill() {
    const auto count = ::recv(fd, in.data() + end, in.size() - end, 0);
    if (count > 0) end += static_cast<std::size_t>(count);
    return count;
  }

  // Calls `each(frame, size)` for every whole frame, its length included, and makes room for the
  // rest.
  template <class F>
  void frames(F&& each) {
    while (end - begin >= 4) {
      const std::size_t size = 4 + load_length(in.data() + begin);
      if (end - begin < size) {
        if (size > in.size()) in.resize(2 * size);
        break;
      }
      each(in.data() + begin, size);
      begin += size;
    }
    if (begin == end) {
      begin = end = 0;
    } else if (begin > in.size() / 2) {
      std::memmove(in.data(), in.data() + begin, end - begin);
      end -= begin;
      begin = 0;
    }
  }

  void append(const void* bytes, std::size_t count) {
    const auto* from = static_cast<const char*>(bytes);
    out.insert(out.end(), from, from + count);
  }

  // True if all went out.
  bool flush() {
    while (sent < out.size()) {
      const auto count = ::send(fd, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return false;
      sent += static_cast<std::size_t>(count);
    }
    out.clear();
    sent = 0;
    return true;
  }
};

int run_broker(int client_port, int worker_port) {
  const int poller = ::epoll_create1(0);
  peer clients_door, workers_door;
  clients_door.fd = listen_on(client_port);
  workers_door.fd = listen_on(worker_port);
  std::vector<std::unique_ptr<peer>> peers;
  std::vector<peer*> workers, dirty;
  std::size_t next_worker = 0;
  auto watch = [&](peer& p, std::uint32_t events, int how) {
    epoll_event e{};
    e.events = events;
    e.data.ptr = &p;
    ::epoll_ctl(poller, how, p.fd, &e);
  };
  watch(clients_door, EPOLLIN, EPOLL_CTL_ADD);
  watch(workers_door, EPOLLIN, EPOLL_CTL_ADD);
  auto mark = [&](peer& p) {
    if (!std::exchange(p.dirty, true)) dirty.push_back(&p);
  };
  auto accept_all = [&](const peer& door) {
    for (int fd; (fd = ::accept4(door.fd, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto& p = *peers.emplace_back(std::make_unique<peer>());
      p.fd = fd;
      p.is_worker = &door == &workers_door;
      p.number = static_cast<std::uint32_t>(peers.size() - 1);
      if (p.is_worker) workers.push_back(&p);
      watch(p, EPOLLIN, EPOLL_CTL_ADD);
    }
  };
  auto relay = [&](peer& from) {
    from.frames([&](const char* frame, std::size_t size) {
      if (!from.is_worker) {
        auto& to = *workers[next_worker++ % workers.size()];
        const std::uint32_t head[2] = {htonl(static_cast<std::uint32_t>(size)),
                                       from.number}; // 4 bytes more: the number
        to.append(head, sizeof head);
        to.append(frame + 4, size - 4);
        mark(to);
      } else {
        std::uint32_t number;
        std::memcpy(&number, frame + 4, sizeof number);
        auto& to = *peers[number];
        if (to.fd < 0) return;
        const std::uint32_t length = htonl(static_cast<std::uint32_t>(size - 8));
        to.append(&length, sizeof length);
        to.append(frame + 8, size - 8);
        mark(to);
      }
    });
  };
  epoll_event events[128];
  for (;;) {
    const int count = ::epoll_wait(poller, events, 128, -1);
    for (int i = 0; i < count; ++i) {
      auto& p = *static_cast<peer*>(events[i].data.ptr);
      if (&p == &clients_door || &p == &workers_door) {
        accept_all(p);
        continue;
      }
      if ((events[i].events & (EPOLLIN | EPOLLHUP)) != 0) {
        const auto got = p.fill();
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
          ::epoll_ctl(poller, EPOLL_CTL_DEL, p.fd, nullptr);
          ::close(std::exchange(
              p.fd, -1)); // what still comes for it is dropped: the number may be another's soon
          std::erase(workers, &p);
          continue;
        }
        relay(p);
      }
      if ((events[i].events & EPOLLOUT) != 0) mark(p);
    }
    for (auto* p : dirty) {
      p->dirty = false;
      if (p->fd < 0) continue;
      const bool blocked = !p->flush();
      if (blocked != std::exchange(p->waits_for_room, blocked))
        watch(*p, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    }
    dirty.clear();
  }
}

int run_worker(int port) {
  peer p;
  p.fd = connect_to(port);
  while (p.fill() > 0) {
    const auto* first = p.in.data() + p.begin;
    std::size_t whole = 0;
    // What is whole goes back in one piece, as it came.
    while (p.end - p.begin - whole >= 4) {
      const std::size_t size = 4 + load_length(first + whole);
      if (p.end - p.begin - whole < size) break;
      whole += size;
    }
    for (std::size_t sent = 0; sent < whole;) {
      const auto count = ::send(p.fd, first + sent, whole - sent, MSG_NOSIGNAL);
      if (count <= 0) return 0;
      sent += static_cast<std::size_t>(count);
    }
    p.frames([](const char*, std::size_t) {});
  }
  return 0;
}

int run_load(int port, std::size_t bytes, int window, double seconds, int connections) {
  const sched_param none{}; // as every load here: what it measures is not interrupted
  if (window >= 32) ::sched_setscheduler(0, SCHED_BATCH, &none);
  using clock = std::chrono::steady_clock;
  auto now = [] { return static_cast<std::uint64_t>(clock::now().time_since_epoch().count()); };
  const int poller = ::epoll_create1(0);
  const std::string payload(bytes, 'x');
  std::vector<peer> peers(static_cast<std::size_t>(connections));
  std::vector<double> latencies;
  latencies.reserve(1 << 20);
  auto push = [&](peer& p, std::uint64_t at) {
    const std::uint32_t length = htonl(static_cast<std::uint32_t>(8 + bytes));
    p.append(&length, sizeof length);
    p.append(&at, sizeof at);
    p.append(payload.data(), payload.size());
  };
  for (auto& p : peers) {
    p.fd = connect_to(port);
    ::fcntl(p.fd, F_SETFL, O_NONBLOCK);
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT | EPOLLET;
    e.data.ptr = &p;
    ::epoll_ctl(poller, EPOLL_CTL_ADD, p.fd, &e);
  }
  const auto start = clock::now();
  const auto end =
      start + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds));
  for (auto& p : peers) {
    for (int i = 0; i < window; ++i) push(p, now());
    p.flush();
  }
  std::uint64_t done = 0;
  epoll_event events[64];
  while (clock::now() < end) {
    const int count = ::epoll_wait(poller, events, 64, 100);
    for (int i = 0; i < count; ++i) {
      auto& p = *static_cast<peer*>(events[i].data.ptr);
      if ((events[i].events & EPOLLIN) != 0) {
        ssize_t got = 0;
        while ((got = p.fill()) > 0) {
          const auto t = now();
          p.frames([&](const char* frame, std::size_t) {
            std::uint64_t sent_at;
            std::memcpy(&sent_at, frame + 4, sizeof sent_at);
            if (done++ % 8 == 0) latencies.push_back(static_cast<double>(t - sent_at) / 1e3);
            push(p, t);
          });
          p.flush();
        }
        if (got == 0) return std::puts("closed"), 1;
      }
      if ((events[i].events & EPOLLOUT) != 0) p.flush();
    }
  }
  const auto took = std::chrono::duration<double>(clock::now() - start).count();
  std::sort(latencies.begin(), latencies.end());
  auto quantile = [&](double q) {
    return latencies.empty() ? 0
                             : latencies[std::min(latencies.size() - 1,
                                                  static_cast<std::size_t>(
                                                      q * static_cast<double>(latencies.size())))];
  };
  std::printf("%.0f %.0f %.0f\n", static_cast<double>(done) / took, quantile(0.5), quantile(0.99));
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  const std::string role = argc > 1 ? argv[1] : "";
  auto number = [&](int i) { return argc > i ? std::atoi(argv[i]) : 0; };
  if (role == "broker" && argc == 4) return run_broker(number(2), number(3));
  if (role == "worker" && argc == 3) return run_worker(number(2));
  if (role == "load" && argc == 7)
    return run_load(number(2), static_cast<std::size_t>(number(3)), number(4), std::atof(argv[5]),
                    number(6));
  std::fprintf(stderr, "relay broker CLIENT_PORT WORKER_PORT | worker PORT | load PORT BYTES "
                       "WINDOW SECONDS CONNECTIONS\n");
  return 2;
}
