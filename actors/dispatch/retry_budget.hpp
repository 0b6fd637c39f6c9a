#pragma once

#include "actors/time/instant.hpp"

#include <algorithm>
#include <cstdint>

namespace ropewalk {

/// How many requests of a service may be started again after their worker was lost: a share of the
/// first starts, and a trickle besides. What is over it waits; nothing is refused for it. Without
/// it, a handler that crashes on everything would triple its own load.
///
/// What one loss can cost at once, all slots of the service, is always there to begin with, so that
/// the loss of a node is made good without delay.
class retry_budget {
public:
  /// Even a service without other load gets on.
  static constexpr double trickle_per_second = 10;
  static constexpr std::uint32_t min_burst = 100;

  explicit retry_budget(std::uint32_t percent) : share_(percent / 100.0) {}

  /// The service has so many slots now: so much may be saved up.
  void slots(std::uint32_t count) {
    const double burst = std::max(count, min_burst);
    if (burst > burst_) tokens_ += burst - burst_;
    burst_ = burst;
    tokens_ = std::min(tokens_, burst_);
  }

  /// A request was started for the first time.
  void earn() { tokens_ = std::min(burst_, tokens_ + share_); }

  /// True if one may be started again now; it is then paid for.
  bool spend(instant now) {
    const auto seconds = std::chrono::duration<double>(now - trickled_).count();
    tokens_ = std::min(burst_, tokens_ + seconds * trickle_per_second);
    trickled_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

private:
  double share_;
  double burst_ = 0;
  double tokens_ = 0;
  instant trickled_{};
};

} // namespace ropewalk
