#include "net/cluster/stream_scribe.hpp"

#include "net/cluster/checked_cast.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/protocol/limits.hpp"

#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/native_socket.hpp>
#include <cassert>
#include <linux/sockios.h>
#include <memory>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <utility>

namespace ropewalk {

using caf::io::network::operation;

stream_scribe::stream_scribe(shared_loop& loop, std::unique_ptr<stream> connection,
                             std::size_t kept_write_bytes)
    : scribe(caf::io::network::conn_hdl_from_socket(connection->fd())),
      events_(loop, connection->fd(), *this), stream_(std::move(connection)),
      outbox_(kept_write_bytes) {
  caf::io::network::keepalive(fd(), true);
}

void stream_scribe::ack_writes(bool) {}

namespace {

// CAF aborts when it is asked for the port of anything else.
bool is_tcp(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
  return domain == AF_INET || domain == AF_INET6;
}

} // namespace

std::string stream_scribe::addr() const {
  if (!is_tcp(events_.fd())) return "this machine";
  const auto result = caf::io::network::remote_addr_of_fd(events_.fd());
  return result ? *result : std::string{};
}

std::uint16_t stream_scribe::port() const {
  if (!is_tcp(events_.fd())) return 0;
  const auto result = caf::io::network::remote_port_of_fd(events_.fd());
  return result ? *result : std::uint16_t{0};
}

void stream_scribe::add_to_loop() {
  assert(checked_cast<shared_loop>(loop()).is_leading());
  wanted_ = true;
  listen();
  if (stream_->pending())
    loop().post([self = caf::intrusive_ptr<stream_scribe>{this}] {
      if (self->reads_on()) self->read_once();
    });
}

void stream_scribe::remove_from_loop() {
  wanted_ = false;
  stop_listening();
}

void stream_scribe::bytes_came() {
  const caf::intrusive_ptr<stream_scribe> guard{this};
  if (detached()) return;
  read_once();
  if (!detached() && !events_.listens_for_writes() && !outbox_.empty()) flush();
}

void stream_scribe::read_once() {
  if (!read_some() && !detached()) io_failure(&loop(), operation::read);
  if (!detached() && stream_->reads_by_writing()) events_.listen_for_writes();
}

void stream_scribe::flush() {
  if (!events_.listens_for_writes() && !failed_) send_some();
}

void stream_scribe::send_some() {
  switch (outbox_.send(*stream_)) {
  case outbox::state::empty:
    events_.stop_writes();
    if (finishing_) stream_->finish();
    break;
  case outbox::state::blocked:
    if (stream_->sends_by_reading()) // hands are being shaken: the next read goes on with it
      events_.stop_writes();
    else
      events_.listen_for_writes();
    break;
  case outbox::state::failed:
    events_.stop_writes();
    fail_later();
    break;
  }
}

// flush() is called from the broker's handlers, which must not be entered again by the news that
// the connection is gone.
void stream_scribe::fail_later() {
  if (std::exchange(failed_, true)) return;
  loop().post([self = caf::intrusive_ptr<stream_scribe>{this}] {
    if (!self->detached()) self->io_failure(&self->loop(), operation::read);
  });
}

void stream_scribe::notify_broker() {
  msg().handle = hdl();
  invoke_mailbox_element(&loop());
}

void stream_scribe::hung_up() {
  const caf::intrusive_ptr<stream_scribe> guard{this};
  release_later_if_costly();
  if (!detached()) io_failure(&loop(), operation::read);
}

std::size_t stream_scribe::bytes_in_kernel(unsigned long which) const {
  int bytes = 0;
  return ::ioctl(fd(), which, &bytes) == 0 ? static_cast<std::size_t>(bytes) : 0;
}

// When the last who holds this lets go, its socket is closed, and what the kernel has of it freed.
void stream_scribe::release_later_if_costly() {
  if (bytes_in_kernel(SIOCOUTQ) + bytes_in_kernel(SIOCINQ) > limits::costly_close_bytes)
    checked_cast<shared_loop>(loop()).release_later(caf::intrusive_ptr<caf::ref_counted>{this});
}

void stream_scribe::finish_writing() {
  finishing_ = true;
  flush();
}

void stream_scribe::cut_off() {
  failed_ = true;
  release_later_if_costly();
  events_.stop_writes();
  detach(&loop(), false);
}

void stream_scribe::graceful_shutdown() {
  finishing_ = true;
  flush();
  const unsigned timeout_ms =
      30'000; // for a peer that never reads: nobody watches this connection any more
  ::setsockopt(fd(), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
  detach(&loop(), false);
}

stream_scribe::events::events(shared_loop& loop, int fd, stream_scribe& owner)
    : event_handler(loop, fd), owner_(owner) {}

void stream_scribe::events::listen_for_reads() {
  reading_.reset(&owner_);
  backend().add(operation::read, fd(), this);
}

void stream_scribe::events::stop_reads() {
  backend().del(operation::read, fd(), this);
  if ((eventbf() & caf::io::network::input_mask) == 0) let_go(reading_);
}

void stream_scribe::events::listen_for_writes() {
  if (std::exchange(listens_for_writes_, true)) return;
  writing_.reset(&owner_);
  backend().add(operation::write, fd(), this);
}

void stream_scribe::events::stop_writes() {
  if (!std::exchange(listens_for_writes_, false)) return;
  backend().del(operation::write, fd(), this);
  if ((eventbf() & caf::io::network::output_mask) == 0) let_go(writing_);
}

// CAF drops a wish that is taken back before it was carried out, and does not say so. Not at once:
// who calls still uses the scribe.
void stream_scribe::events::let_go(caf::intrusive_ptr<stream_scribe>& held) {
  if (held) backend().post([last = std::move(held)] {});
}

void stream_scribe::events::removed_from_loop(operation op) {
  // Letting go may be the end of the scribe, and of this.
  if (op == operation::read) return reading_.reset();
  listens_for_writes_ = false;
  writing_.reset();
}

void stream_scribe::events::handle_event(operation op) {
  const caf::intrusive_ptr<stream_scribe> guard{&owner_};
  switch (op) {
  case operation::read:
    owner_.bytes_came();
    break;
  case operation::write:
    if (owner_.stream_->reads_by_writing() && !owner_.detached()) owner_.read_once();
    if (!owner_.failed_) owner_.send_some();
    break;
  case operation::propagate_error:
    if (!owner_.detached()) owner_.io_failure(&backend(), operation::read);
    break;
  }
}

char* shared_read_buffer() {
  thread_local const auto buffer = std::make_unique_for_overwrite<char[]>(limits::read_bytes);
  return buffer.get();
}

} // namespace ropewalk
