#pragma once

#include "actors/broker/sessions/answer_writer.hpp"
#include "actors/broker/sessions/client_access.hpp"
#include "actors/broker/sessions/rejection_log.hpp"

#include <cstddef>
#include <string_view>

namespace ropewalk {

/// Knows who a session's client is, where the broker asks (an access file): by its certificate, or
/// by the token that is the first thing it says. Who is not known is told so, and closed.
class authenticator {
public:
  authenticator(const client_access& gate, std::size_t max_message_bytes, session_table& sessions,
                answer_writer& answers, rejection_log& rejections)
      : gate_(gate), max_message_bytes_(max_message_bytes), sessions_(sessions), answers_(answers),
        rejections_(rejections) {}

  /// A client has come: it may say little before it has said who it is.
  void begin(session& with) const;

  /// True while it is not known who this is, and the broker asks.
  [[nodiscard]] bool must_introduce(session& with) const;

  /// The first thing that it says. True if it is known now, and this was no more than that.
  enum class verdict : std::uint8_t { rejected, introduced, go_on };
  verdict introduce(session& with, const incoming_frame& frame, const frame_fields& fields,
                    instant now);

  /// Tells it that it is not let in, and closes.
  void reject(session& with, std::uint64_t id, std::string_view why, instant now);

  /// The files were read again: what those who are here may do is looked up anew.
  void reload(instant now);

private:
  const client_access& gate_;
  const std::size_t max_message_bytes_;
  session_table& sessions_;
  answer_writer& answers_;
  rejection_log& rejections_;
};

} // namespace ropewalk
