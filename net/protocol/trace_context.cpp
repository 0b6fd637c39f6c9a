#include "net/protocol/trace_context.hpp"

#include "net/bytes/byte_order.hpp"

#include <algorithm>
#include <span>

namespace ropewalk {

namespace {

// version "-" trace "-" parent "-" flags
constexpr std::size_t version_size = 2;
constexpr std::size_t trace_at = version_size + 1;
constexpr std::size_t parent_at = trace_at + 32 + 1;
constexpr std::size_t flags_at = parent_at + 16 + 1;
constexpr std::size_t text_size = flags_at + 2;

// The recommendation has lower case only.
int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

bool read_hex(std::string_view text, std::span<std::uint8_t> into) {
  for (std::size_t i = 0; i < into.size(); ++i) {
    const int high = digit(text[2 * i]);
    const int low = digit(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    into[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return true;
}

bool is_zero(std::span<const std::uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

void append_hex(std::string& out, std::span<const std::uint8_t> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (const auto byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
}

} // namespace

std::string trace_context::text() const {
  std::string result = "00-";
  append_hex(result, trace);
  result += '-';
  append_hex(result, parent);
  result += '-';
  append_hex(result, {&flags, 1});
  return result;
}

std::optional<trace_context> read_traceparent(std::string_view text) {
  std::uint8_t version = 0;
  if (text.size() < text_size || !read_hex(text, {&version, 1}) || version == 0xff)
    return std::nullopt;
  const bool longer = text.size() > text_size;
  if (longer && (version == 0 || text[text_size] != '-')) return std::nullopt;
  if (text[trace_at - 1] != '-' || text[parent_at - 1] != '-' || text[flags_at - 1] != '-')
    return std::nullopt;
  trace_context result;
  if (!read_hex(text.substr(trace_at), result.trace) ||
      !read_hex(text.substr(parent_at), result.parent) ||
      !read_hex(text.substr(flags_at), {&result.flags, 1}) || is_zero(result.trace) ||
      is_zero(result.parent))
    return std::nullopt;
  return result;
}

std::optional<trace_id> read_trace_id(std::string_view text) {
  trace_id result{};
  if (text.size() != 2 * result.size() || !read_hex(text, result) || is_zero(result))
    return std::nullopt;
  return result;
}

std::string hex_of(const trace_id& id) {
  std::string result;
  append_hex(result, id);
  return result;
}

std::string hex_of(const span_id& id) {
  std::string result;
  append_hex(result, id);
  return result;
}

std::uint64_t tag_of(const trace_id& id) {
  std::array<char, sizeof(trace_id)> bytes{};
  std::copy(id.begin(), id.end(), bytes.begin());
  return load_be<std::uint64_t>(bytes.data()) ^ load_be<std::uint64_t>(bytes.data() + 8);
}

} // namespace ropewalk
