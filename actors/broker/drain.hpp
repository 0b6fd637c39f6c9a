#pragma once

#include "actors/time/instant.hpp"

namespace ropewalk {

/// How a broker that was told to stop gets to its end: what it has is answered, clients take their
/// answers and go, or time is up.
class drain {
public:
  /// Clients that have all their answers get this long beyond the drain time to take them: those
  /// that come back again and again would keep a drain from its end.
  static constexpr milliseconds last_goodbye{2000};

  enum class step : unsigned char {
    wait,
    close_clients, ///< all is answered and sent: they may go
    finished,
    out_of_time,
  };

  /// True if it begins now.
  bool begin(instant now, milliseconds time) {
    if (draining_) return false;
    draining_ = true;
    end_ = now + time;
    return true;
  }

  [[nodiscard]] bool draining() const { return draining_; }

  /// `all_done`: no request waits for an answer, and all answers have left.
  [[nodiscard]] step next(instant now, bool all_done, std::size_t clients) const {
    if (!draining_) return step::wait;
    if (all_done && clients == 0) return step::finished;
    if (now >= end_ + (all_done ? last_goodbye : milliseconds{0})) return step::out_of_time;
    return all_done ? step::close_clients : step::wait;
  }

private:
  bool draining_ = false;
  instant end_{};
};

} // namespace ropewalk
