#pragma once

#include "net/bytes/shared_bytes.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ropewalk {

/// The header fields that anybody here asks for; all others are read and forgotten.
enum class http_field : std::uint8_t {
  host,
  authorization,
  origin,
  sec_fetch_site,
  timeout,  ///< Ropewalk-Timeout
  attempts, ///< Ropewalk-Attempts
  key,      ///< Ropewalk-Key
  priority, ///< Ropewalk-Priority
  traceparent,
};
inline constexpr std::size_t http_fields = 9;

/// One request of HTTP/1.0 or 1.1, or its head.
struct http_request {
  std::string method; ///< as it was written: upper case, for those that mean something
  std::string target; ///< "/path?query", "*", or a whole URL
  std::array<std::string, http_fields> fields;
  shared_bytes body;       ///< whole; lent until the decoder is asked again if it is `borrowed`
  bool keep_alive = true;  ///< the connection may go on after it
  bool http_1_0 = false;   ///< its answer must not be chunked, and says keep-alive if it is
  bool has_body = false;   ///< or is to have one
  bool expects_go = false; ///< waits with the body until it is told 100 Continue

  [[nodiscard]] std::string_view field(http_field which) const {
    return fields[static_cast<std::size_t>(which)];
  }
};

} // namespace ropewalk
