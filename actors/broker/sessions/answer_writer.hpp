#pragma once

#include "actors/broker/sessions/session_table.hpp"
#include "net/protocol/frame.hpp"

#include <cstdint>
#include <string_view>

namespace ropewalk {

/// Puts what is said to clients into their connections, as frames or, in order, as text lines. It
/// leaves when the turn ends.
class answer_writer {
public:
  explicit answer_writer(session_table& sessions) : sessions_(sessions) {}

  /// The answer to a request, or (id 0) a word about the connection. A large payload is appended by
  /// reference. Nothing more is said to who is closing.
  void answer(session& to, std::uint64_t id, error_code code, const shared_bytes& payload,
              std::uint32_t retry_after_ms = 0);

  /// An error; without a sentence of its own it gets the code's.
  void refuse(session& to, std::uint64_t id, error_code code, std::string_view detail = {},
              std::uint32_t retry_after_ms = 0);

  /// An answer over HTTP that is no request's of the dispatcher.
  void page(session& to, std::uint64_t id, http_exchange::answer what);

  /// Any other frame, to who speaks in frames.
  void frame(session& to, frame_kind kind, std::uint64_t id, std::string_view fields,
             const shared_bytes& payload);

private:
  void answer_http(session& to, std::uint64_t id, error_code code, const shared_bytes& payload,
                   std::uint32_t retry_after_ms);
  void answer_line(session& to, std::uint64_t id, error_code code, const shared_bytes& payload);

  session_table& sessions_;
};

} // namespace ropewalk
