#pragma once

#include "net/protocol/error.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// The binary frame: PROTOCOL.md is the contract, this is its codec. Nothing here reads, writes or
/// waits.
namespace ropewalk {

inline constexpr std::uint8_t protocol_version = 1;

/// length u32 | kind u8 | code u8 | fields u16 | id u64, all in network byte order.
inline constexpr std::size_t frame_header_bytes = 16;

/// What `length` counts besides fields and payload: the header behind the length itself.
inline constexpr std::uint32_t frame_header_rest = 12;

/// From this length on a frame's first byte could be taken for text: refused.
inline constexpr std::uint32_t frame_length_end = 0x20000000;

enum class frame_kind : std::uint8_t {
  hello = 1,    ///< client: version, token, default service
  hello_ok = 2, ///< broker: version, limits in force
  request = 3,  ///< client: a message for a service
  reply = 4,    ///< broker: what the handler answered
  error = 5,    ///< broker: why there is no reply
  cancel = 6,   ///< client: takes the request with this id back
  status = 7,   ///< client asks, broker answers with JSON in a frame of the same kind
  ping = 8,     ///< either side
  pong = 9,     ///< the answer to a ping, same id and payload
  fork = 10,    ///< node: asks a fork server for a process, with descriptors beside it
  forked = 11,  ///< fork server: here it is
};

/// Optional fields: type u8 | size u8 | value. A reader skips the types that it does not know.
enum class field : std::uint8_t {
  version = 1,            ///< u8
  service = 2,            ///< text
  token = 3,              ///< bytes
  deadline_ms = 4,        ///< u32: how long the client will wait
  attempts = 5,           ///< u8: how often the request may be started
  key = 6,                ///< bytes, 1 to 255: ordering key
  priority = 7,           ///< u8: 0 low, 1 normal, 2 high
  trace = 8,              ///< bytes: trace context, for the handler
  retry_after_ms = 9,     ///< u32
  max_message_bytes = 10, ///< u32
  concurrency = 11,       ///< u32: requests that a handler takes at a time
  attempt = 12,           ///< u8: which start of the request this is
  client = 13,            ///< text: to handlers, who asks
  forks = 14,             ///< u8: 1, this node can ask for forks; this program is a fork server
  pid = 15,               ///< u32: of the process that was forked
};

struct frame_header {
  std::uint32_t length = frame_header_rest; ///< of all that follows the length itself, bytes
  frame_kind kind = frame_kind::request;
  error_code code = error_code::ok; ///< in an error frame; 0 elsewhere
  std::uint16_t fields_bytes = 0;
  std::uint64_t id = 0;

  [[nodiscard]] std::uint32_t payload_bytes() const {
    return length - frame_header_rest - fields_bytes;
  }
};

/// Reads the first 16 bytes of a frame. Nothing is checked: the decoder does that.
void read_header(const char* bytes, frame_header& into);

/// What the optional fields said. Text and bytes are views into the frame.
struct frame_fields {
  std::uint8_t version = 0;
  std::string_view service;
  std::string_view token;
  std::optional<std::uint32_t> deadline_ms;
  std::optional<std::uint8_t> attempts;
  std::string_view key;
  std::optional<std::uint8_t> priority;
  std::string_view trace;
  std::optional<std::uint32_t> retry_after_ms;
  std::optional<std::uint32_t> max_message_bytes;
  std::optional<std::uint32_t> concurrency;
  std::optional<std::uint8_t> attempt;
  std::string_view client;
};

/// False if the fields are cut short or one of them has a size that its type cannot have.
[[nodiscard]] bool read_fields(std::string_view bytes, frame_fields& out);

/// The first field of that type, for who wants just this one; empty if there is none.
std::string_view find_field(std::string_view bytes, field type);

/// What the fields between a node and a fork server say: apart from those that every request's are
/// looked through for. The same holds of the result.
struct fork_fields {
  bool forks = false;
  std::uint32_t pid = 0;
};
[[nodiscard]] bool read_fork_fields(std::string_view bytes, fork_fields& out);

/// Collects optional fields: at most 255 bytes each.
class field_writer {
public:
  field_writer& text(field type, std::string_view value);
  field_writer& u8(field type, std::uint8_t value);
  field_writer& u32(field type, std::uint32_t value);
  [[nodiscard]] std::string_view bytes() const { return bytes_; }

private:
  std::string bytes_;
};

/// Appends header and fields of a frame whose payload of `payload_bytes` the caller puts behind
/// them.
void append_header(std::vector<char>& out, frame_kind kind, error_code code, std::uint64_t id,
                   std::string_view fields, std::size_t payload_bytes);

/// Appends a whole frame.
void append_frame(std::vector<char>& out, frame_kind kind, error_code code, std::uint64_t id,
                  std::string_view fields, std::string_view payload);

} // namespace ropewalk
