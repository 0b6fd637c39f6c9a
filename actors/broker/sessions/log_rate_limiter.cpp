#include "actors/broker/sessions/log_rate_limiter.hpp"

#include <spdlog/spdlog.h>
#include <utility>

namespace ropewalk {

namespace {

bool is_control(unsigned char c) {
  return c < 0x20 || c == 0x7f;
}

// C1 control characters, as UTF-8 writes them: some terminals obey them.
bool is_c1(unsigned char first, unsigned char second) {
  return first == 0xc2 && second >= 0x80 && second < 0xa0;
}

} // namespace

void log_rate_limiter::warn(instant now, std::string what) {
  if (now - second_ >= std::chrono::seconds{1}) {
    second_ = now;
    said_ = 0;
  }
  if (said_ == a_second) {
    ++suppressed_;
    return;
  }
  ++said_;
  if (what.size() > max_line_bytes) what.replace(max_line_bytes, std::string::npos, "...");
  for (std::size_t i = 0; i < what.size(); ++i) {
    const auto c = static_cast<unsigned char>(what[i]);
    const auto before = i > 0 ? static_cast<unsigned char>(what[i - 1]) : 0U;
    if (is_control(c) || is_c1(static_cast<unsigned char>(before), c)) what[i] = '?';
  }
  if (const auto suppressed = std::exchange(suppressed_, 0); suppressed > 0)
    spdlog::warn("{} (and {} complaints before it)", what, suppressed);
  else
    spdlog::warn("{}", what);
}

} // namespace ropewalk
