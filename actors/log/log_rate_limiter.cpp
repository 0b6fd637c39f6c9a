#include "actors/log/log_rate_limiter.hpp"

#include "net/protocol/readable.hpp"

#include <spdlog/spdlog.h>
#include <utility>

namespace ropewalk {

void log_rate_limiter::warn(instant now, std::string_view what, log_fields fields) {
  if (now - second_ >= std::chrono::seconds{1}) {
    second_ = now;
    said_ = 0;
  }
  if (said_ == a_second) {
    ++suppressed_;
    return;
  }
  ++said_;
  auto sentence = one_line(what, max_line_bytes);
  if (const auto suppressed = std::exchange(suppressed_, 0); suppressed > 0)
    sentence += " (and " + std::to_string(suppressed) + " complaints before it)";
  for (auto& field : fields) field.second = one_line(field.second, max_line_bytes);
  spdlog::warn("{}", join_fields(sentence, fields));
}

} // namespace ropewalk
