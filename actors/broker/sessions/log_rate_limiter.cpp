#include "actors/broker/sessions/log_rate_limiter.hpp"

#include "net/protocol/readable.hpp"

#include <spdlog/spdlog.h>
#include <utility>

namespace ropewalk {

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
  what = one_line(what, max_line_bytes);
  if (const auto suppressed = std::exchange(suppressed_, 0); suppressed > 0)
    spdlog::warn("{} (and {} complaints before it)", what, suppressed);
  else
    spdlog::warn("{}", what);
}

} // namespace ropewalk
