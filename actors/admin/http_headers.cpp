#include "actors/admin/http_headers.hpp"

#include "actors/settings/units.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace ropewalk {

namespace {

constexpr std::size_t max_key_bytes = 255;
constexpr unsigned max_attempts = 100;

failure wrong(std::string what) {
  return {failure_kind::bad_input, std::move(what), {}};
}

} // namespace

result<http_options> read_http_options(const http_request& from) {
  http_options result;
  if (const auto text = from.field(http_field::timeout); !text.empty()) {
    const auto time = parse_wait(text);
    if (!time) return wrong("Ropewalk-Timeout: " + time.why().text());
    result.timeout = *time;
  }
  if (const auto text = from.field(http_field::attempts); !text.empty()) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < 1 ||
        number > max_attempts)
      return wrong("Ropewalk-Attempts wants a number from 1 to 100");
    result.attempts = static_cast<std::uint8_t>(number);
  }
  if (const auto text = from.field(http_field::priority); !text.empty()) {
    static constexpr std::array<std::string_view, 3> names{"low", "normal", "high"};
    const auto* const found = std::find(names.begin(), names.end(), text);
    if (found == names.end()) return wrong("Ropewalk-Priority is low, normal or high");
    result.priority = static_cast<std::uint8_t>(found - names.begin());
  }
  if (from.field(http_field::key).size() > max_key_bytes)
    return wrong("Ropewalk-Key has at most 255 bytes");
  return result;
}

std::optional<std::string_view> bearer_token(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (authorization.size() <= scheme.size()) return std::nullopt;
  const bool same = std::equal(scheme.begin(), scheme.end(), authorization.begin(),
                               [](char a, char b) { return a == (b | (b == ' ' ? 0 : 0x20)); });
  if (!same) return std::nullopt;
  authorization.remove_prefix(scheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

} // namespace ropewalk
