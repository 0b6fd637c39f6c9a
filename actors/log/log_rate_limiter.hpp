#pragma once

#include "actors/log/log_line.hpp"
#include "actors/time/instant.hpp"

#include <cstdint>
#include <mutex>
#include <string_view>
#include <utility>

namespace ropewalk {

/// What others do to a process is logged ten times a second and no more, and the rest is counted:
/// who is refused, or fails, must not fill the disk.
class log_rate_limiter {
public:
  /// A warning. What strangers chose may stand in it: it comes out as `one_line` of 512 bytes, so
  /// that it cannot look like lines of ours.
  void warn(instant now, std::string_view what) { warn(now, what, log_fields{}); }

  /// The same with fields, of which each value is treated as the sentence is.
  void warn(instant now, std::string_view what, log_fields fields);

private:
  static constexpr int a_second = 10;
  static constexpr std::size_t max_line_bytes = 512;

  instant second_{};
  int said_ = 0;
  std::uint64_t suppressed_ = 0;
};

/// The same for several threads.
class shared_log_rate_limiter {
public:
  void warn(instant now, std::string_view what, log_fields fields = {}) {
    const std::lock_guard lock{mutex_};
    log_.warn(now, what, std::move(fields));
  }

private:
  std::mutex mutex_;
  log_rate_limiter log_;
};

} // namespace ropewalk
