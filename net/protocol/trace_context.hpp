#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ropewalk {

/// Names a trace: 16 bytes that are not all zero.
using trace_id = std::array<std::uint8_t, 16>;

/// Names a span of a trace: 8 bytes that are not all zero.
using span_id = std::array<std::uint8_t, 8>;

/// To which trace a message belongs, and what asked for it there: W3C Trace Context, level 1, as its
/// `traceparent` says it.
struct trace_context {
  trace_id trace{};
  span_id parent{};
  std::uint8_t flags = 0;

  static constexpr std::uint8_t sampled_flag = 1;

  /// Whoever asked records what he does, and wants us to.
  [[nodiscard]] bool sampled() const { return (flags & sampled_flag) != 0; }

  /// 00-TRACE-PARENT-FLAGS, 55 bytes.
  [[nodiscard]] std::string text() const;

  friend bool operator==(const trace_context&, const trace_context&) = default;
};

/// Nothing if it is no traceparent: a wrong length, capitals, an id of zeros, version ff. Of a later
/// version than 00 what this one knows is read, as the recommendation says.
std::optional<trace_context> read_traceparent(std::string_view text);

/// 32 hexadecimal digits, not all zero.
std::optional<trace_id> read_trace_id(std::string_view text);

/// In lower case, two digits a byte.
std::string hex_of(const trace_id& id);
std::string hex_of(const span_id& id);

/// Stands for the trace where there is no room for its id: 0 of none, and the same of two that
/// differ only by accident.
std::uint64_t tag_of(const trace_id& id);

} // namespace ropewalk
