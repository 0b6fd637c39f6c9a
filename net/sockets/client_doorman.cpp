#include "net/sockets/client_doorman.hpp"

#include "net/sockets/client_scribe.hpp"

#include <caf/io/network/default_multiplexer.hpp>
#include <caf/make_counted.hpp>
#include <cerrno>
#include <fcntl.h>
#include <sys/socket.h>

namespace ropewalk {

using caf::io::network::operation;

namespace {

// Connections accepted in one go, before those that are there get their turn.
constexpr int most_at_once = 64;

} // namespace

client_doorman::client_doorman(caf::io::network::default_multiplexer& loop,
                               caf::io::network::native_socket fd, client_door_settings settings)
    : doorman(caf::io::network::accept_hdl_from_socket(fd)), events_(loop, fd, *this),
      settings_(std::move(settings)) {}

bool client_doorman::new_connection() {
  auto& loop = events_.backend();
  for (int i = 0; i < most_at_once && !detached(); ++i) {
    if (crowded_ && !has_room()) {
      starve();
      return true;
    }
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    descriptor accepted{::accept4(events_.fd(), reinterpret_cast<sockaddr*>(&peer), &size,
                                  SOCK_NONBLOCK | SOCK_CLOEXEC)};
    if (!accepted.valid()) {
      // Else nothing waits, or what waited has gone away again.
      if (out_of_descriptors(errno)) starve();
      return true;
    }
    crowded_ = is_among_the_last(accepted.get());
    auto permit = settings_.admit(peer);
    if (!permit) continue;
    auto connection = settings_.speak(accepted.get());
    if (!connection) continue;
    (void)accepted.release(); // the scribe closes it
    auto scribe =
        caf::make_counted<client_scribe>(loop, std::move(connection), settings_.max_message_bytes,
                                         settings_.hangups, std::move(permit));
    const auto hdl = scribe->hdl();
    parent()->add_scribe(std::move(scribe));
    doorman::new_connection(&loop, hdl);
  }
  return true;
}

bool client_doorman::has_room() const {
  const descriptor next{::fcntl(events_.fd(), F_DUPFD_CLOEXEC, 0)}; // the lowest that is free
  return next.valid() && !is_among_the_last(next.get());
}

void client_doorman::starve() {
  remove_from_loop();
  settings_.when_starved();
}

void client_doorman::graceful_shutdown() {
  detach(&events_.backend(), false);
}

std::string client_doorman::addr() const {
  const auto result = caf::io::network::local_addr_of_fd(events_.fd());
  return result ? *result : std::string{};
}

std::uint16_t client_doorman::port() const {
  const auto result = caf::io::network::local_port_of_fd(events_.fd());
  return result ? *result : std::uint16_t{0};
}

void client_doorman::events::start() {
  alive_.reset(&owner_);
  activate();
}

void client_doorman::events::handle_event(operation op) {
  const caf::intrusive_ptr<client_doorman> guard{&owner_};
  if (owner_.detached()) return;
  if (op == operation::read)
    owner_.new_connection();
  else
    owner_.io_failure(&backend(), op);
}

void client_doorman::events::removed_from_loop(operation op) {
  if (op == operation::read) alive_.reset(); // may be the end of the doorman, and of this
}

} // namespace ropewalk
