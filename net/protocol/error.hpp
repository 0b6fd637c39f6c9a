#pragma once

#include <cstdint>
#include <string_view>

namespace ropewalk {

/// Every way in which a request can end. The numbers are on the wire and never change; PROTOCOL.md
/// lists them.
enum class error_code : std::uint8_t {
  ok = 0,
  failed = 1,       ///< the handler ran and says that it failed
  timeout = 2,      ///< the deadline passed
  busy = 3,         ///< a limit is reached; try again later
  no_service = 4,   ///< no node ever offered that service
  too_large = 5,    ///< over the cap on a message
  worker_lost = 6,  ///< every attempt's worker died
  bad_request = 7,  ///< the frame or its fields make no sense
  unauthorized = 8, ///< not allowed
  draining = 9,     ///< the broker is going down
  cancelled = 10,   ///< the client took it back

  /// Never on the wire: the client library's word for a request whose connection ended before its
  /// answer came. Whether it ran, or runs on, is not known.
  connection_lost = 255,
};

inline constexpr int error_codes = 11; // that are on the wire

/// The name as PROTOCOL.md and the text protocol spell it: "OK", "FAILED", ...; "UNKNOWN" for a
/// number not in the set.
std::string_view name_of(error_code code);

/// One sentence for people: what happened and what to do about it.
std::string_view sentence_of(error_code code);

} // namespace ropewalk
