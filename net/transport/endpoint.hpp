#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ropewalk {

/// HOST:PORT as people write it; an IPv6 address stands in brackets.
struct endpoint {
  std::string host;
  std::uint16_t port = 0;

  [[nodiscard]] std::string text() const;
  friend bool operator==(const endpoint&, const endpoint&) = default;
};

/// Nothing if `text` is not HOST:PORT with a port from 0 to 65535.
std::optional<endpoint> parse_endpoint(std::string_view text);

} // namespace ropewalk
