#include "net/protocol/duration.hpp"

#include <charconv>
#include <cmath>

namespace ropewalk {

result<std::chrono::milliseconds> parse_duration(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit{end, text.data() + text.size()};
  const double ms = unit == "ms"                  ? 1
                    : unit.empty() || unit == "s" ? 1000
                    : unit == "m"                 ? 60'000
                                                  : -1;
  if (error != std::errc{} || ms < 0 || number * ms < 1 || number * ms > 86'400'000)
    return failure{failure_kind::bad_input, "'" + text + "' is no duration",
                   "write 250ms, 5s, 2m or seconds such as 0.5"};
  return std::chrono::milliseconds{std::llround(number * ms)};
}

} // namespace ropewalk
