#pragma once

#include "net/bytes/announced_memory.hpp"
#include "net/bytes/shared_bytes.hpp"
#include "net/protocol/frame.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace ropewalk {

/// Why a stream makes no sense that begins as TLS does.
inline constexpr std::string_view speaks_tls =
    "this port does not speak TLS: leave out --tls-ca, or start the broker with --tls-cert and "
    "--tls-key";

/// A whole frame, or a text line made into one: a request with ids 1, 2, 3, ... by line.
struct incoming_frame {
  frame_header head;
  std::string_view fields;  ///< valid until the decoder is called again
  std::string_view service; ///< of a text line; empty for a binary frame, whose fields say it
  shared_bytes
      payload; ///< borrowed (valid until the decoder is called again) or, when large, shared
};

/// A message over the cap: said once, when its header came; its bytes are discarded as they stream
/// in.
struct oversized_frame {
  frame_header head;
};

/// The stream makes no sense from here on: answer, then close. `decoder::next` says nothing more.
struct malformed_stream {
  std::string_view reason;
  std::string_view begins; ///< with what is no frame: the first of it; the decoder's
};

using decoder_event = std::variant<incoming_frame, oversized_frame, malformed_stream>;

/// Cuts a byte stream into frames or text lines; the first byte of a connection decides which
/// (below 0x20: frames). Sans I/O: bytes come in by `feed`, or, in the middle of a large payload,
/// go straight to where they belong
/// (`body_space`, `body_filled`). Holds at most one message.
///
///     decoder.body_filled(part of the read that went to body_space());
///     decoder.feed(the rest of it);
///     while (auto* event = decoder.next()) ...
class decoder {
public:
  enum class mode : std::uint8_t { undecided, binary, text };

  /// `binary`: the mode is known beforehand, as it is to a client.
  explicit decoder(std::size_t max_payload_bytes, mode known = mode::undecided);

  /// The bytes stay the caller's and must live until `next` has returned nothing.
  void feed(std::string_view bytes);

  /// The next event, which is the decoder's and valid until it is called again; null when more
  /// bytes are needed.
  decoder_event* next();

  /// After the last byte: a last line without its newline, once; null if there is none. What is left
  /// of a frame is none.
  decoder_event* end();

  /// Where the rest of a large payload goes; empty if none is being read.
  [[nodiscard]] std::span<char> body_space();

  /// So many bytes were put at the beginning of `body_space`.
  void body_filled(std::size_t count);

  /// True if the payload in progress, or the last one, is so large (limits::direct_payload_bytes)
  /// that it pays to read little beyond its end.
  [[nodiscard]] bool reads_one_by_one() const { return one_by_one_; }

  [[nodiscard]] mode what() const { return mode_; }

  /// The cap on payloads from the next message on.
  void set_max_payload(std::size_t bytes) { max_payload_ = bytes; }

  /// Bytes that came, ever.
  [[nodiscard]] std::uint64_t received() const { return received_; }

  /// Memory that the message in progress takes: what has come of it. (What its header announces is
  /// no memory yet: pages that nobody has written to are none.)
  [[nodiscard]] std::size_t held_bytes() const { return carry_.size() + body_have_; }

  /// Gives up the message in progress; what comes of it is discarded. Returns its header. There
  /// must be one of which something is held, and a frame's header must be there.
  frame_header drop_message();

  /// True if `drop_message` may be called.
  [[nodiscard]] bool can_drop() const;

  /// True in the middle of a frame, a line or a discarded message.
  [[nodiscard]] bool in_message() const { return !carry_.empty() || body_.valid() || discard_ > 0; }

private:
  decoder_event* next_frame();
  decoder_event* next_line();
  decoder_event* request_in(std::string_view line);
  void forget_last();
  void skip_empty_lines();
  decoder_event* whole_body();
  incoming_frame& frame();
  decoder_event* whole(incoming_frame& made, std::string_view fields, std::string_view service,
                       std::string_view payload);
  decoder_event* oversized(const frame_header& head);
  decoder_event* malformed(std::string_view reason);
  bool carry_up_to(std::size_t count);
  void discard_from_input();

  decoder_event event_; // the last one: made in its place, since moving one costs as much again
  bool event_shares_ = false; // memory that must not stay with an idle connection
  std::size_t max_payload_;
  mode mode_;
  bool one_by_one_ = false;
  bool dead_ = false;
  bool discard_line_ = false;   // until the newline
  std::uint64_t discard_ = 0;   // bytes
  std::uint64_t last_line_ = 0; // id of the last text line
  std::uint64_t received_ = 0;
  bool carry_used_ = false; // carry_ holds what the last event's views show
  std::string_view in_;
  std::string malformed_; // the beginning of what is no frame
  std::string carry_;     // the beginning of a frame or line whose rest has not come

  // a large payload in progress
  fresh_bytes body_;
  std::size_t body_have_ = 0;
  announced_memory announced_; // body_, until it is whole
  frame_header head_;
  std::string fields_;
};

} // namespace ropewalk
