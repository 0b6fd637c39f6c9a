#include "actors/handlers/handler_channel.hpp"

#include "net/bytes/byte_order.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <array>

namespace ropewalk {

namespace {

// The first thing that is said, and the only one with this id.
constexpr std::uint64_t hello_id = 0xffffffffffffffff;

constexpr std::size_t quoted_bytes = 64;

// The field `request` of net/PROTOCOL.md, which only handlers read.
constexpr char request_field = 16;
// A sentence for people.
constexpr std::size_t refusal_bytes = 512;

// Answers to pings that wait to be taken, in bytes.
constexpr std::size_t max_unread_pongs = 1 * limits::mib;

std::string quote(std::string_view bytes) {
  return "'" + one_line(bytes, quoted_bytes) + "'";
}

std::string number(frame_kind kind) {
  return std::to_string(static_cast<unsigned>(kind));
}

} // namespace

handler_channel::handler_channel(std::size_t max_message_bytes)
    : max_message_bytes_(max_message_bytes), in_(max_message_bytes, decoder::mode::binary) {}

void handler_channel::hello(std::string_view service, bool may_fork) {
  may_fork_ = may_fork;
  field_writer fields;
  fields.u8(field::version, protocol_version);
  fields.text(field::service, service);
  fields.u32(field::max_message_bytes, static_cast<std::uint32_t>(max_message_bytes_));
  if (may_fork) fields.u8(field::forks, 1);
  append_frame(out_.tail(), frame_kind::hello, error_code::ok, hello_id, fields.bytes(), {});
}

void handler_channel::request(std::uint64_t id, const shared_bytes& payload,
                              std::chrono::milliseconds left, const about& what) {
  constexpr std::int64_t longest = 0xffffffff;
  const auto ms = static_cast<std::uint32_t>(std::clamp<std::int64_t>(left.count(), 0, longest));
  // As field_writer would, without its memory: this happens once a message.
  std::array<char, 19> fields{static_cast<char>(field::deadline_ms),
                              4,
                              0,
                              0,
                              0,
                              0,
                              static_cast<char>(field::attempt),
                              1,
                              static_cast<char>(what.attempt),
                              request_field,
                              8};
  store_be(fields.data() + 2, ms);
  store_be(fields.data() + 11, what.request);
  if (!what.fields.empty()) [[unlikely]] {
    const auto all = std::string{fields.data(), fields.size()}.append(what.fields);
    append_header(out_.tail(), frame_kind::request, error_code::ok, id, all, payload.size());
    return out_.append(payload);
  }
  append_header(out_.tail(), frame_kind::request, error_code::ok, id,
                {fields.data(), fields.size()}, payload.size());
  out_.append(payload);
}

void handler_channel::cancel(std::uint64_t id) {
  append_frame(out_.tail(), frame_kind::cancel, error_code::ok, id, {}, {});
}

std::vector<char> handler_channel::fork(std::uint64_t id, std::string_view environment) {
  std::vector<char> frame;
  append_frame(frame, frame_kind::fork, error_code::ok, id, {}, environment);
  return frame;
}

handler_channel::event handler_channel::violated(std::string what) {
  over_ = true;
  return violation{std::move(what)};
}

handler_channel::event handler_channel::next() {
  while (!over_) {
    const auto* said = in_.next();
    if (!said) break;
    if (const auto* bad = std::get_if<malformed_stream>(said))
      return violated("it sent bytes that are no frame, " + quote(bad->begins) + " (" +
                      std::string{bad->reason} + "); what it prints must not go to the channel");
    if (const auto* large = std::get_if<oversized_frame>(said)) {
      if (!ready_)
        return violated("it sent a frame of " + std::to_string(large->head.length) +
                        " bytes before its HELLO_OK");
      return answer{large->head.id, error_code::too_large, {}};
    }
    auto result = take(std::get<incoming_frame>(*said));
    if (!std::holds_alternative<std::monostate>(result)) return result;
  }
  return {};
}

handler_channel::event handler_channel::take(const incoming_frame& frame) {
  switch (frame.head.kind) {
  case frame_kind::hello_ok:
    return take_hello_ok(frame);
  case frame_kind::ping:
    if (out_.empty()) unread_pongs_ = 0;
    unread_pongs_ += frame.payload.size();
    if (unread_pongs_ > max_unread_pongs)
      return violated("it sends pings and does not read what they are answered");
    append_frame(out_.tail(), frame_kind::pong, error_code::ok, frame.head.id, {},
                 frame.payload.view());
    return {};
  case frame_kind::pong:
    return {};
  case frame_kind::forked:
    return take_forked(frame);
  case frame_kind::reply:
  case frame_kind::error:
    break;
  default:
    return violated("it sent a frame of kind " + number(frame.head.kind) +
                    ", which handlers do not send: " + quote(frame.payload.view()));
  }
  const auto code = frame.head.kind == frame_kind::reply ? error_code::ok : frame.head.code;
  if (!ready_ && code != error_code::ok) {
    over_ = true;
    return violation{"it does not accept us: " + std::string{name_of(code)} + " '" +
                         one_line(frame.payload.view(), refusal_bytes) + "'" +
                         (code == error_code::unauthorized ? " (token-file)" : ""),
                     true};
  }
  if (!ready_)
    return violated("it sent a reply before its HELLO_OK: " + quote(frame.payload.view()));
  if (frame.head.kind == frame_kind::error && code == error_code::ok)
    return violated("it sent an error with the number 0: " + quote(frame.payload.view()));
  return answer{frame.head.id, code, frame.payload};
}

handler_channel::event handler_channel::take_hello_ok(const incoming_frame& frame) {
  frame_fields fields;
  fork_fields more;
  if (!read_fields(frame.fields, fields) || !read_fork_fields(frame.fields, more))
    return violated("the fields of its HELLO_OK make no sense: " + quote(frame.fields));
  if (ready_) return violated("it sent HELLO_OK a second time");
  if (fields.version != 0 && fields.version != protocol_version)
    return violated("it speaks version " + std::to_string(fields.version) +
                    " of the protocol, and this node version " + std::to_string(protocol_version));
  if (fields.concurrency == 0u)
    return violated("its HELLO_OK says that it takes 0 requests at a time");
  ready_ = true;
  forks_ = may_fork_ && more.forks;
  return ready{fields.concurrency.value_or(1), forks_};
}

handler_channel::event handler_channel::take_forked(const incoming_frame& frame) {
  fork_fields fields;
  if (!forks_) return violated("it sent FORKED, and is no fork server");
  if (!read_fork_fields(frame.fields, fields) || fields.pid == 0)
    return violated("its FORKED does not say which process: " + quote(frame.fields));
  return forked{frame.head.id, fields.pid};
}

} // namespace ropewalk
