#pragma once

#include "actors/time/instant.hpp"
#include "actors/time/mean_run_time.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace ropewalk {

/// How many messages of one service a node may hold: its slots, and ahead of them as much as they
/// will work off in the prefetch time, judged by how long the service's messages have taken.
/// Nothing is known at first: no prefetch.
class credit {
public:
  credit(std::uint32_t slots, std::uint32_t max_ahead, microseconds prefetch_time)
      : slots_(slots), max_ahead_(max_ahead),
        prefetch_us_(static_cast<double>(prefetch_time.count())), allowed_(slots) {}

  /// A message ran for so long. (That one long run weighs at once is for what is handed out ahead:
  /// it must not wait behind the next long one.)
  void ran_for(microseconds run_time) {
    const auto us = std::max(1.0, static_cast<double>(run_time.count()));
    // As usual: most of the time, and the division below takes longer than the rest of an answer.
    if (usual_ && std::abs(us - mean_.us()) * 256 < mean_.us()) return;
    mean_.add(us);
    usual_ = true;
    ahead_ = std::min(static_cast<double>(max_ahead_), prefetch_us_ / mean_.us());
    allow();
  }

  /// The node has so many slots now.
  void set_slots(std::uint32_t slots) {
    slots_ = slots;
    allow();
  }

  /// The node gave something back because its slots are held up: nothing ahead until one comes to
  /// an end.
  void stalled() {
    ahead_ = 0;
    usual_ = false;
    allow();
  }

  /// Messages that the node may hold now.
  [[nodiscard]] std::uint32_t allowed() const { return allowed_; }

  /// What a message takes, about, in microseconds; a second while nothing is known.
  [[nodiscard]] double mean_us() const { return mean_.known() ? mean_.us() : 1'000'000; }

private:
  void allow() { allowed_ = slots_ + static_cast<std::uint32_t>(slots_ * ahead_); }

  std::uint32_t slots_;
  std::uint32_t max_ahead_;
  double prefetch_us_;
  mean_run_time mean_;
  bool usual_ = false; // `ahead_` is what `mean_` makes it
  double ahead_ = 0;   // per slot
  std::uint32_t allowed_;
};

} // namespace ropewalk
