#include "net/cluster/basp_scribe.hpp"

#include "net/bytes/byte_order.hpp"
#include "net/cluster/checked_cast.hpp"
#include "net/cluster/compact_basp.hpp"
#include "net/protocol/limits.hpp"
#include "net/protocol/receive_lease.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <sys/socket.h>
#include <utility>

namespace ropewalk {

namespace {

// Where a payload lies in shared memory: offset u32 | bytes u32.
constexpr std::size_t ring_place_bytes = 8;

} // namespace

basp_scribe::~basp_scribe() {
  on_settled();
  ::shutdown(fd(), SHUT_RDWR);
}

void basp_scribe::configure_read(caf::io::receive_policy::config config) {
  wanted_ = config.second;
  if (std::exchange(launched_, true)) return;
  basp_ = &checked_cast<compact_basp>(*parent());
  add_to_loop();
}

void basp_scribe::send(const basp_header::compact_address& where, const compact_form& form,
                       const caf::message& what) {
  auto& buffer = output().tail();
  const auto frame = buffer.size();
  buffer.resize(frame + basp_header::bytes);
  splice_scope scope{buffer, splices_,
                     rings_ ? limits::min_ring_batch_bytes : limits::large_payload_bytes};
  compact_writer payload{scope};
  form.write(what, payload);
  if (!send_through_ring(buffer, frame, where, payload.bytes())) {
    basp_header::write_compact(buffer.data() + frame, where, 0,
                               static_cast<std::uint32_t>(payload.bytes()));
    output().splice(splices_);
  }
  splices_.clear();
  flush();
}

// Moves the payload of the last frame in the buffer to the memory that both sides share: its place
// goes over the socket instead. False if it stays.
bool basp_scribe::send_through_ring(std::vector<char>& buffer, std::size_t frame,
                                    const basp_header::compact_address& where,
                                    std::size_t payload_bytes) {
  if (!rings_ || payload_bytes < limits::min_ring_batch_bytes ||
      payload_bytes > limits::max_ring_batch_bytes)
    return false;
  char* const room = rings_->out.take(payload_bytes);
  if (!room) return false;
  const auto payload = frame + basp_header::bytes;
  char* to = room;
  auto from = payload;
  for (const auto& one : splices_) {
    to = std::copy(buffer.data() + from, buffer.data() + one.at, to);
    to = std::copy_n(one.bytes.view().data(), one.bytes.size(), to);
    from = one.at;
  }
  std::copy(buffer.data() + from, buffer.data() + buffer.size(), to);
  buffer.resize(payload + ring_place_bytes);
  store_be(buffer.data() + payload, rings_->out.offset_of(room));
  store_be(buffer.data() + payload + 4, static_cast<std::uint32_t>(payload_bytes));
  basp_header::write_compact(buffer.data() + frame, where, basp_header::in_ring_flag,
                             ring_place_bytes);
  return true;
}

std::vector<char>& basp_scribe::piece() {
  return next_ == piece_kind::header ? header_ : payload_;
}

bool basp_scribe::read_some() {
  const bool was_ready = wire().ready();
  do {
    if (read_piece()) continue;
    // Who goes away without a word, as a probe of the port does, is not refused.
    if (!was_ready && !detached() && !wire().why().empty()) refuse(wire().why());
    return false;
  } while (reads_on());
  return true;
}

void basp_scribe::on_settled() {
  if (const auto tell = std::exchange(when_settled_, {})) tell();
}

void basp_scribe::note_known() {
  if (known_ || detached() || !basp_->knows(hdl())) return;
  known_ = true;
  on_settled();
}

void basp_scribe::refuse(const std::string& why) const {
  if (when_refused_) when_refused_(peer_ + ": " + why);
}

void basp_scribe::give_up(const std::string& why) {
  refuse(why);
  fail_later();
}

bool basp_scribe::read_piece() {
  if (wanted_ > limits::max_basp_bytes) return false;
  make_room();
  if (next_ == piece_kind::header && have_ == 0 && landing_bytes_ > 0) return read_frame();
  char* const buffer = shared_read_buffer();
  const auto missing = piece().size() - have_;
  const bool direct = missing >= limits::large_payload_bytes;
  const auto ahead =
      missing >= limits::direct_payload_bytes ? limits::read_ahead_bytes : limits::read_bytes;
  const std::array<iovec, 2> to{iovec{piece().data() + have_, missing}, iovec{buffer, ahead}};
  const auto result = wire().receive(direct ? std::span{to} : std::span{to}.subspan(1));
  if (result.state == stream::state::blocked) return true;
  if (result.state != stream::state::ok) return false;
  basp_->heard_from(hdl()); // long before the message is complete, perhaps
  auto count = result.bytes;
  if (direct) {
    const auto filled = std::min(count, missing);
    have_ += filled;
    count -= filled;
    if (have_ == wanted_ && !deliver()) return false;
    make_room();
  }
  return take(buffer, count);
}

// A compact frame most likely, as the last one was: its payload comes to lie where it is to be, and
// what is over in the shared buffer.
bool basp_scribe::read_frame() {
  if (payload_.size() < landing_bytes_) payload_.resize(landing_bytes_);
  char* const buffer = shared_read_buffer();
  const std::array<iovec, 3> to{iovec{header_.data(), header_.size()},
                                iovec{payload_.data(), payload_.size()},
                                iovec{buffer, limits::read_bytes}};
  const auto result = wire().receive(to);
  if (result.state == stream::state::blocked) return true;
  if (result.state != stream::state::ok) return false;
  basp_->heard_from(hdl());
  have_ = std::min(result.bytes, header_.size());
  if (have_ < header_.size()) return true;
  const auto behind = result.bytes - have_;
  const auto landed = std::min(behind, payload_.size());
  const auto over = behind - landed;
  if (!deliver()) return false;
  const bool compact = next_ == piece_kind::compact_payload || next_ == piece_kind::in_ring;
  if (compact && landed < wanted_) {
    have_ = landed;
    make_room();
    return take(buffer, over);
  }
  const auto used = static_cast<std::ptrdiff_t>(compact ? wanted_ : 0);
  const std::vector<char> next(payload_.begin() + used,
                               payload_.begin() + static_cast<std::ptrdiff_t>(landed));
  if (compact && !deliver()) return false;
  make_room();
  return take(next.data(), next.size()) && take(buffer, over);
}

bool basp_scribe::take(const char* bytes, std::size_t count) {
  while (count > 0) {
    const auto part = std::min(count, piece().size() - have_);
    std::memcpy(piece().data() + have_, bytes, part);
    have_ += part;
    bytes += part;
    count -= part;
    if (have_ == wanted_ && !deliver()) return false;
    make_room();
  }
  return true;
}

// The buffer grows with what has come: a header's word alone gets no more than a first read's
// worth.
void basp_scribe::make_room() {
  auto& buffer = piece();
  if (buffer.size() == wanted_ || (have_ < buffer.size() && buffer.size() < wanted_)) return;
  buffer.resize(std::min(wanted_, std::max({2 * have_, limits::read_bytes, buffer.capacity()})));
}

// Whether the header is one that who is not known yet may send. BASP itself would take messages to
// actors from anybody, and as large as they say.
bool basp_scribe::may_be_hello() const {
  return basp_header::is_handshake(header_.data()) &&
         (basp_header::flags(header_.data()) & basp_header::compact_flag) == 0 &&
         basp_header::payload_bytes(header_.data()) <= limits::max_node_hello_bytes;
}

// False if the connection is over: BASP closed it, or a header makes no sense.
bool basp_scribe::deliver() {
  have_ = 0;
  switch (next_) {
  case piece_kind::header: {
    const auto payload_bytes = basp_header::payload_bytes(header_.data());
    const auto flags = basp_header::flags(header_.data());
    if (!known_ && !may_be_hello()) {
      refuse("it does not begin as a worker does");
      return false;
    }
    if ((flags & basp_header::compact_flag) != 0) {
      const bool in_ring = (flags & basp_header::in_ring_flag) != 0;
      if (in_ring && (!rings_ || payload_bytes != ring_place_bytes)) return false;
      next_ = in_ring ? piece_kind::in_ring : piece_kind::compact_payload;
      wanted_ = payload_bytes;
      return wanted_ > 0 && wanted_ <= limits::max_basp_bytes;
    }
    landing_bytes_ = 0;
    if (payload_bytes > 0) next_ = piece_kind::payload;
    return deliver_to_basp(header_);
  }
  case piece_kind::payload:
    next_ = piece_kind::header;
    if (!deliver_to_basp(payload_)) return false;
    note_known();
    return true;
  case piece_kind::compact_payload: {
    receive_lease payload{payload_, wanted_}; // there may be room behind it
    next_ = piece_kind::header;
    wanted_ = basp_header::bytes;
    landing_bytes_ = std::min(payload.view().size() * 3 / 2, limits::read_bytes);
    return basp_->take(hdl(), header_, payload);
  }
  case piece_kind::in_ring:
    next_ = piece_kind::header;
    wanted_ = basp_header::bytes;
    landing_bytes_ = 0;
    return deliver_from_ring();
  }
  return false;
}

bool basp_scribe::deliver_from_ring() {
  auto bytes = rings_->in->receive(load_be<std::uint32_t>(payload_.data()),
                                   load_be<std::uint32_t>(payload_.data() + 4));
  if (!bytes) return false;
  receive_lease payload{std::move(*bytes)};
  return basp_->take(hdl(), header_, payload);
}

// BASP asks for the size of the next piece in the middle of this.
bool basp_scribe::deliver_to_basp(std::vector<char>& delivered) {
  msg().buf.swap(delivered);
  notify_broker();
  msg().buf.swap(delivered);
  return !detached() && wanted_ <= limits::max_basp_bytes;
}

} // namespace ropewalk
