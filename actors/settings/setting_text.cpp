#include "actors/settings/setting_text.hpp"

#include "actors/settings/units.hpp"

#include <charconv>

namespace ropewalk {

namespace {

// What one of a setting's unit is; 0: it is none of time.
microseconds one_of(std::string_view unit) {
  if (unit == unit::milliseconds) return milliseconds{1};
  return microseconds{unit == unit::microseconds ? 1 : 0};
}

failure bad_value(std::string what, std::string advice = {}) {
  return {failure_kind::bad_input, std::move(what), std::move(advice)};
}

result<std::uint64_t> parse(const setting& of, std::string_view text) {
  if (of.unit() == unit::bytes) return parse_size(text);
  if (const auto one = one_of(of.unit()); one.count() > 0) {
    const auto time = parse_duration(text, one);
    if (!time) return time.why();
    if (*time % one != microseconds{0})
      return bad_value("'" + std::string{text} + "' is no whole number of " +
                       std::string{of.unit()});
    return static_cast<std::uint64_t>(*time / one);
  }
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) return UINT64_MAX; // no bounds are so wide
  if (error != std::errc{} || end != text.data() + text.size())
    return bad_value("'" + std::string{text} + "' is no whole number of " + std::string{of.unit()});
  return number;
}

} // namespace

std::string_view value_kind(const setting& of) {
  if (of.unit() == unit::bytes) return "SIZE";
  return one_of(of.unit()).count() > 0 ? "TIME" : "NUMBER";
}

std::string value_text(const setting& of, std::uint64_t value) {
  if (of.unit() == unit::bytes) return size_text(value);
  if (const auto one = one_of(of.unit()); one.count() > 0)
    return duration_text(static_cast<std::int64_t>(value) * one);
  return std::to_string(value);
}

result<std::uint64_t> read_value(const setting& of, std::string_view text) {
  auto value = parse(of, text);
  if (value && (*value < of.min() || *value > of.max()))
    return bad_value(std::string{text} + " is not between " + value_text(of, of.min()) + " and " +
                     value_text(of, of.max()));
  return value;
}

} // namespace ropewalk
