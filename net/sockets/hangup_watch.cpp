#include "net/sockets/hangup_watch.hpp"

#include <array>
#include <cerrno>
#include <sys/epoll.h>
#include <system_error>
#include <utility>

namespace ropewalk {

namespace {

int make_epoll() {
  const int fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) throw std::system_error{errno, std::generic_category(), "epoll_create1"};
  return fd;
}

} // namespace

hangup_watch::hangup_watch(shared_loop& loop) : loop_source(loop, make_epoll()) {}

std::shared_ptr<hangup_watch> hangup_watch::open(shared_loop& loop) {
  auto result = std::make_shared<hangup_watch>(loop);
  result->alive_ = result;
  result->add_to_loop();
  return result;
}

void hangup_watch::close() {
  watched_.clear();
  remove_from_loop();
}

void hangup_watch::on_removed() {
  const auto last = std::move(alive_); // may be the end of this
}

void hangup_watch::watch(int socket, std::function<void()> tell) {
  epoll_event none{}; // errors and hang-ups are always told
  none.data.fd = socket;
  if (::epoll_ctl(fd(), EPOLL_CTL_ADD, socket, &none) != 0 && errno != EEXIST) return;
  watched_.insert_or_assign(socket, std::move(tell));
}

void hangup_watch::forget(int socket) {
  if (watched_.erase(socket) == 0) return;
  ::epoll_ctl(fd(), EPOLL_CTL_DEL, socket, nullptr);
}

// Whoever is told may forget, and close, others that are in the same lot: each is looked up.
void hangup_watch::on_readable() {
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(fd(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const int socket = events[static_cast<std::size_t>(i)].data.fd;
    const auto found = watched_.find(socket);
    if (found == watched_.end()) continue;
    const auto tell = std::move(found->second);
    forget(socket);
    tell();
  }
}

} // namespace ropewalk
