#include "net/sockets/client_scribe.hpp"

#include "net/cluster/checked_cast.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/transport/receive.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

namespace ropewalk {

namespace {

// How every TLS connection begins: a record that carries a handshake (RFC 8446, 5.1).
constexpr unsigned char tls_handshake = 0x16;

} // namespace

void client_scribe::add_to_loop() {
  hangups_->forget(fd());
  stream_scribe::add_to_loop();
}

void client_scribe::remove_from_loop() {
  stream_scribe::remove_from_loop();
  hangups_->watch(fd(), [this] { hung_up(); });
}

bool client_scribe::read_some() {
  if (!wire().ready() && !looked_) {
    unsigned char first = 0;
    const auto count = ::recv(fd(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return true;
    if (count != 1) return false; // it went away, or can never say anything
    looked_ = true;
    if (first != tls_handshake) {
      speak_plain();
      go_without_tls();
    }
  }
  std::size_t bytes = 0;
  do {
    if (!read_and_tell()) return false;
    bytes += last_read_bytes();
  } while (reads_on() && bytes < max_read());
  if (reads_on()) read_on_later();
  return true;
}

// The loop does not see what TLS has taken out of the socket: up to 16 KiB, or 8,000 lines.
void client_scribe::read_on_later() {
  if (in_bulk_ != 0) return bulk_->serve_again(in_bulk_);
  if (std::exchange(reads_later_, true)) return;
  checked_cast<shared_loop>(loop()).defer([self = caf::intrusive_ptr<client_scribe>{this}] {
    self->reads_later_ = false;
    if (self->reads_on()) self->bytes_came();
  });
}

// A line may be two bytes long, a frame is 24 at least; what a first read holds is not known.
std::size_t client_scribe::max_read() const {
  if (http_)
    return http_->in_body()
               ? limits::read_bytes
               : std::max(limits::lines_read_bytes >> halvings_, limits::little_heads_bytes);
  switch (decoder_.what()) {
  case decoder::mode::text:
    return std::max(limits::lines_read_bytes >> halvings_, limits::little_lines_bytes);
  case decoder::mode::undecided:
    return limits::little_read_bytes;
  case decoder::mode::binary:
    break;
  }
  return std::max(limits::read_bytes >> halvings_, limits::little_read_bytes);
}

stream::result client_scribe::receive() {
  if (discarding_) return discard();
  if (http_) return receive_http();
  return receive_into(decoder_, wire(), shared_read_buffer(), max_read());
}

bool client_scribe::read_and_tell() {
  const auto got = receive();
  has_read(got.bytes);
  switch (got.state) {
  case stream::state::failed:
    return false;
  case stream::state::blocked:
    return true;
  case stream::state::end:
    end_input();
    remove_from_loop();
    break;
  case stream::state::ok:
    if (!discarding_) break;
    become_bulk(); // for good: however much it is, nobody waits for it
    return true;
  }
  notify_broker();
  return true;
}

// Little while there are heads, which are short and each worth an answer; much of a body.
stream::result client_scribe::receive_http() {
  auto* const buffer = shared_read_buffer();
  const iovec into{buffer, max_read()};
  const auto result = wire().receive({&into, 1});
  if (result.state == stream::state::ok) http_->feed({buffer, result.bytes});
  return result;
}

std::size_t client_scribe::unacknowledged() const {
  return bytes_in_kernel(SIOCOUTQ);
}

// Who closes its socket looks like who closes its sending half, until something is sent. A kernel
// that knows of no such connection any more (60 s after a close, on Linux) answers a probe with a
// reset, which hangup_watch sees.
void client_scribe::probe_peer() {
  const int idle_s = 30;
  const int interval_s = 10;
  const int probes = 3;
  ::setsockopt(fd(), IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
  ::setsockopt(fd(), IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
  ::setsockopt(fd(), IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

stream::result client_scribe::discard() {
  const iovec buffer{shared_read_buffer(), limits::read_bytes};
  return wire().receive({&buffer, 1});
}

// -- bulk -------------------------------------------------------------------------------------------

void client_scribe::become_bulk() {
  if (is_bulk_) return;
  if (wanted()) stop_listening();
  is_bulk_ = true;
  bulk_since_ = std::chrono::steady_clock::now();
  if (wanted()) listen();
}

void client_scribe::leave_bulk() {
  if (!is_bulk_) return;
  if (wanted()) stop_listening();
  is_bulk_ = false;
  if (wanted()) listen();
  if (reads_on()) read_on_later(); // else it waits for a turn among the bulk
}

void client_scribe::listen() {
  if (is_bulk_ && in_bulk_ == 0) {
    in_bulk_ = bulk_->watch(fd(), EPOLLIN, [this](std::uint32_t events) { bulk_came(events); });
    is_bulk_ = in_bulk_ != 0;
  }
  if (!is_bulk_) stream_scribe::listen();
}

void client_scribe::stop_listening() {
  if (in_bulk_ != 0)
    bulk_->forget(in_bulk_);
  else
    stream_scribe::stop_listening();
}

void client_scribe::bulk_came(std::uint32_t events) {
  const caf::intrusive_ptr<client_scribe> guard{this};
  if (detached()) return stop_listening();
  if ((events & EPOLLIN) == 0) return hung_up();
  bytes_came();
  if (detached() || discarding_) return;
  constexpr std::chrono::milliseconds rest{limits::bulk_rest_ms};
  const auto crowded = std::max(bulk_since_, bulk_->last_crowded());
  if (std::chrono::steady_clock::now() - crowded > rest) leave_bulk();
}

} // namespace ropewalk
