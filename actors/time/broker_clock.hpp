#pragma once

#include "actors/time/instant.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace ropewalk {

/// How long ago something was sent, by a broker whose clock counts from some other beginning. Every
/// message says when it was sent; the one that was quickest on its way, of the last minute, tells
/// how far the clocks are apart, less the time of that way. So an age is never said to be more than
/// it is, and less by no more than the quickest way takes. The clocks may drift apart: what was
/// heard over a minute ago no longer counts.
class broker_clock {
public:
  /// Something that was sent then, by the broker's clock in microseconds, has come now.
  void heard(std::uint64_t sent_us, instant now) {
    if (now - window_ > window_length) {
      before_ = best_;
      best_ = unknown;
      window_ = now;
    }
    best_ = std::max(best_, static_cast<std::int64_t>(sent_us) - in_us(now));
  }

  /// How long ago that was, at least; 0 while nothing was heard.
  [[nodiscard]] microseconds age(std::uint64_t sent_us, instant now) const {
    const auto ahead = std::max(best_, before_);
    if (ahead == unknown) return microseconds{0};
    return microseconds{
        std::max<std::int64_t>(0, in_us(now) + ahead - static_cast<std::int64_t>(sent_us))};
  }

  static std::int64_t in_us(instant at) {
    return std::chrono::duration_cast<microseconds>(at.time_since_epoch()).count();
  }

private:
  static constexpr std::chrono::seconds window_length{30};
  static constexpr std::int64_t unknown = std::numeric_limits<std::int64_t>::min();

  instant window_{};
  std::int64_t best_ = unknown;   // how far the broker's clock is ahead, at least
  std::int64_t before_ = unknown; // the same, of the window before
};

} // namespace ropewalk
