#include "net/cluster/acceptor.hpp"

#include "net/cluster/shared_loop.hpp"

#include <cerrno>
#include <fcntl.h>
#include <utility>

namespace ropewalk {

namespace {

// Connections accepted in one go, before those that are there get their turn.
constexpr int max_at_once = 64;

descriptor open_spare() {
  return descriptor{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
}

} // namespace

acceptor::acceptor(shared_loop& loop, descriptor listening, settings s)
    : loop_source(loop, listening.release()), settings_(std::move(s)) {
  if (settings_.answer == when_exhausted::reject) spare_ = open_spare();
}

void acceptor::open(caf::intrusive_ptr<caf::io::doorman> owner) {
  owner_ = std::move(owner);
  add_to_loop();
}

bool acceptor::accept_waiting() {
  const auto guard = owner_;
  for (int i = 0; i < max_at_once && guard && !guard->detached(); ++i) {
    if (leaves_it_to_others()) {
      pause();
      return false;
    }
    sockaddr_storage peer{};
    auto accepted = accept_one(peer);
    if (accepted.valid()) {
      took_one_of_the_last_ = is_among_the_last(accepted.get());
      settings_.on_accepted(std::move(accepted), peer);
      continue;
    }
    if (!out_of_descriptors(errno))
      return false; // nothing waits, or what waited has gone away again
    if (settings_.answer == when_exhausted::pause) {
      pause();
      return false;
    }
    if (!reject()) return false;
  }
  return true;
}

descriptor acceptor::accept_one(sockaddr_storage& peer) const {
  socklen_t size = sizeof peer;
  return descriptor{
      ::accept4(fd(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC)};
}

bool acceptor::leaves_it_to_others() const {
  if (settings_.answer == when_exhausted::reject || !took_one_of_the_last_) return false;
  const descriptor next{::fcntl(fd(), F_DUPFD_CLOEXEC, 0)}; // the lowest that is free
  return !next.valid() || is_among_the_last(next.get());
}

void acceptor::pause() {
  remove_from_loop();
  settings_.on_descriptors_exhausted();
}

bool acceptor::reject() {
  spare_.close();
  sockaddr_storage peer{};
  const bool rejected = accept_one(peer).valid(); // and closed
  spare_ = open_spare();
  if (rejected) settings_.on_descriptors_exhausted();
  return rejected;
}

void acceptor::on_failure() {
  const auto guard = owner_;
  if (guard && !guard->detached())
    guard->io_failure(&backend(), caf::io::network::operation::propagate_error);
}

} // namespace ropewalk
