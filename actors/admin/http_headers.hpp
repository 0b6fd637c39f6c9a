#pragma once

#include "net/http/http_request.hpp"
#include "net/protocol/result.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ropewalk {

/// What a request over HTTP says besides its message, in fields of its own.
struct http_options {
  std::optional<std::chrono::milliseconds> timeout; ///< Ropewalk-Timeout: 250ms, 5s, 2m, 0.5
  std::optional<std::uint8_t> attempts;             ///< Ropewalk-Attempts: 1 to 100
  std::uint8_t priority = 1;                        ///< Ropewalk-Priority: low, normal, high
};

/// The failure names the field and what it wants. (Ropewalk-Key is taken as it is, of at most 255
/// bytes.)
result<http_options> read_http_options(const http_request& from);

/// The token of "Bearer TOKEN"; nothing if it is something else.
std::optional<std::string_view> bearer_token(std::string_view authorization);

} // namespace ropewalk
