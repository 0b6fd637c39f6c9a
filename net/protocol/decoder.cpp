#include "net/protocol/decoder.hpp"

#include "net/protocol/limits.hpp"
#include "net/protocol/text.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ropewalk {

decoder::decoder(std::size_t max_payload_bytes, mode known)
    : max_payload_(max_payload_bytes), mode_(known) {}

void decoder::feed(std::string_view bytes) {
  assert(in_.empty() || dead_);
  if (dead_) return;
  in_ = bytes;
  received_ += bytes.size();
  if (mode_ == mode::undecided && !in_.empty())
    mode_ = static_cast<unsigned char>(in_[0]) < 0x20 ? mode::binary : mode::text;
}

// What the last event showed is not needed any more.
inline void decoder::forget_last() {
  if (carry_used_) {
    carry_.clear();
    if (carry_.capacity() > limits::large_payload_bytes) carry_.shrink_to_fit();
    carry_used_ = false;
  }
  if (std::exchange(event_shares_, false)) std::get<incoming_frame>(event_).payload = {};
}

decoder_event* decoder::next() {
  if (dead_) return nullptr;
  forget_last();
  if (discard_ > 0 || discard_line_) discard_from_input();
  return mode_ == mode::text ? next_line() : next_frame();
}

incoming_frame& decoder::frame() {
  if (auto* made = std::get_if<incoming_frame>(&event_)) return *made;
  return event_.emplace<incoming_frame>();
}

decoder_event* decoder::whole(incoming_frame& made, std::string_view fields,
                              std::string_view service, std::string_view payload) {
  made.fields = fields;
  made.service = service;
  made.payload.lend(payload);
  return &event_;
}

decoder_event* decoder::oversized(const frame_header& head) {
  event_ = oversized_frame{head};
  return &event_;
}

void decoder::discard_from_input() {
  if (discard_ > 0) {
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(discard_, in_.size()));
    in_.remove_prefix(count);
    discard_ -= count;
  }
  if (discard_line_) {
    const auto end = in_.find('\n');
    in_.remove_prefix(end == std::string_view::npos ? in_.size() : end + 1);
    discard_line_ = end == std::string_view::npos;
  }
}

// Moves input into carry_ until that holds `count` bytes; false if the input did not suffice.
bool decoder::carry_up_to(std::size_t count) {
  if (carry_.size() < count) {
    const auto take = std::min(count - carry_.size(), in_.size());
    carry_.append(in_.substr(0, take));
    in_.remove_prefix(take);
  }
  return carry_.size() >= count;
}

namespace {

// Of what makes no sense so much is kept, for people.
constexpr std::size_t quoted_bytes = 64;

constexpr std::string_view no_length =
    "a frame's length is 512 MiB or more; is this a binary frame at all?";

// The first byte of a frame is that of its length.
bool may_begin_frame(char first) {
  return static_cast<unsigned char>(first) < frame_length_end >> 24;
}

} // namespace

decoder_event* decoder::malformed(std::string_view reason) {
  dead_ = true;
  malformed_ = carry_;
  malformed_.append(in_.substr(0, quoted_bytes));
  in_ = {};
  carry_.clear();
  event_ = malformed_stream{reason, malformed_};
  return &event_;
}

namespace {

// How a TLS connection begins (a record of a handshake, RFC 8446, 5.1), read as a frame's length: so
// long is none.
bool begins_tls(const frame_header& head) {
  return head.length >> 16 == 0x1603;
}

} // namespace

decoder_event* decoder::next_frame() {
  if (body_.valid()) {
    const auto take = std::min(body_.size() - body_have_, in_.size());
    std::copy_n(in_.data(), take, body_.data() + body_have_);
    body_have_ += take;
    in_.remove_prefix(take);
    return whole_body();
  }
  if (in_.empty()) return nullptr; // whatever carry_ holds waits for more

  // The header, from the input if it is all there.
  const bool carrying = !carry_.empty() || in_.size() < frame_header_bytes;
  if (carrying && !carry_up_to(frame_header_bytes))
    return may_begin_frame(carry_.front()) ? nullptr : malformed(no_length);
  auto& made = frame();
  const auto& head = made.head;
  read_header(carrying ? carry_.data() : in_.data(), made.head);
  if (head.length >= frame_length_end) return malformed(no_length);
  if (head.payload_bytes() > max_payload_ && begins_tls(head)) return malformed(speaks_tls);
  if (head.length < frame_header_rest + head.fields_bytes)
    return malformed("a frame's length does not cover its header and fields");
  if (head.kind < frame_kind::hello || head.kind > frame_kind::forked)
    return malformed("a frame of a kind that this version does not know");
  if (head.fields_bytes > limits::max_fields_bytes)
    return malformed("a frame's optional fields are over 4096 bytes");

  if (head.payload_bytes() > max_payload_) {
    discard_ = std::uint64_t{head.fields_bytes} + head.payload_bytes();
    if (carrying)
      carry_.clear();
    else
      in_.remove_prefix(frame_header_bytes);
    discard_from_input();
    return oversized(frame_header{head}); // the event's own
  }

  const auto front_bytes = frame_header_bytes + head.fields_bytes;
  const auto whole_bytes = front_bytes + head.payload_bytes();
  if (!carrying && in_.size() >= whole_bytes) { // the common case: nothing is copied
    const char* const from = in_.data();
    in_.remove_prefix(whole_bytes);
    one_by_one_ = head.payload_bytes() >= limits::direct_payload_bytes;
    return whole(made, {from + frame_header_bytes, head.fields_bytes}, {},
                 {from + front_bytes, head.payload_bytes()});
  }
  if (head.payload_bytes() >= limits::large_payload_bytes) {
    if (!carry_up_to(front_bytes)) return nullptr;
    head_ = head;
    fields_.assign(carry_, frame_header_bytes, head.fields_bytes);
    carry_.clear();
    body_have_ = 0;
    body_ = fresh_bytes{head.payload_bytes()};
    announced_ = announced_memory{body_.data(), body_.size()};
    one_by_one_ = head.payload_bytes() >= limits::direct_payload_bytes;
    return next_frame();
  }
  if (!carry_up_to(whole_bytes)) return nullptr;
  carry_used_ = true;
  one_by_one_ = false;
  const std::string_view all = carry_;
  return whole(made, all.substr(frame_header_bytes, head.fields_bytes), {},
               all.substr(front_bytes));
}

decoder_event* decoder::whole_body() {
  if (body_have_ < body_.size()) return nullptr;
  announced_ = {};
  event_ = incoming_frame{head_, fields_, {}, std::move(body_).share(std::exchange(body_have_, 0))};
  event_shares_ = true;
  return &event_;
}

bool decoder::can_drop() const {
  if (body_.valid() || discard_ > 0 || discard_line_ || carry_used_) return body_.valid();
  return mode_ == mode::text ? !carry_.empty() : carry_.size() >= frame_header_bytes;
}

frame_header decoder::drop_message() {
  assert(can_drop());
  frame_header head;
  if (body_.valid()) {
    head = head_;
    discard_ = body_.size() - body_have_;
    body_ = {};
    announced_ = {};
    body_have_ = 0;
  } else if (mode_ == mode::text) {
    head.id = ++last_line_;
    discard_line_ = true;
  } else {
    read_header(carry_.data(), head);
    discard_ = frame_header_bytes + head.fields_bytes + head.payload_bytes() - carry_.size();
  }
  carry_ = {};
  return head;
}

std::span<char> decoder::body_space() {
  if (!body_.valid()) return {};
  return {body_.data() + body_have_, body_.size() - body_have_};
}

void decoder::body_filled(std::size_t count) {
  assert(count <= body_space().size());
  body_have_ += count;
  received_ += count;
}

// An empty line asks nothing; a read may hold a quarter of a million, so that each must cost next
// to nothing.
void decoder::skip_empty_lines() {
  std::size_t at = 0;
  for (; at < in_.size(); ++at)
    if (in_[at] != '\n' && (in_[at] != '\r' || at + 1 == in_.size() || in_[at + 1] != '\n')) break;
  in_.remove_prefix(at);
}

decoder_event* decoder::next_line() {
  const auto cap = max_payload_ + limits::max_text_overhead_bytes;
  for (;;) {
    if (carry_.empty()) skip_empty_lines();
    const auto end = in_.find('\n');
    const auto bytes = carry_.size() + (end == std::string_view::npos ? in_.size() : end);
    if (bytes > cap) {
      carry_.clear();
      discard_line_ = true;
      discard_from_input();
      frame_header head;
      head.id = ++last_line_;
      return oversized(head);
    }
    if (end == std::string_view::npos) {
      carry_.append(in_);
      in_ = {};
      return nullptr;
    }
    std::string_view line = in_.substr(0, end);
    if (!carry_.empty()) {
      carry_.append(line);
      carry_used_ = true;
      line = carry_;
    }
    in_.remove_prefix(end + 1);
    if (line.empty() || line == "\r") {
      carry_.clear();
      carry_used_ = false;
      continue;
    }
    return request_in(line);
  }
}

decoder_event* decoder::request_in(std::string_view line) {
  const auto request = read_text_request(line);
  frame_header head;
  head.id = ++last_line_;
  if (request.payload.size() > max_payload_) return oversized(head);
  auto& made = frame();
  made.head = head;
  return whole(made, {}, request.service, request.payload);
}

decoder_event* decoder::end() {
  if (dead_) return nullptr;
  forget_last();
  if (carry_ == "\r") carry_.clear();
  if (mode_ != mode::text || discard_line_ || carry_.empty()) return nullptr;
  carry_used_ = true;
  return request_in(carry_);
}

} // namespace ropewalk
