#pragma once

#include "actors/time/instant.hpp"

#include <ctime>
#include <utility>

namespace ropewalk {

/// The time between messages that take less than asking for the time does. Counts the processor's
/// ticks and asks only when so many have gone by that it could matter: the time is up to
/// `resolution_ticks` old.
///
/// Also notices when the machine has slept, which `instant` does not show.
class coarse_clock {
public:
  /// Less is what two readings of two clocks differ by.
  static constexpr milliseconds min_sleep{20};

  static constexpr unsigned long long resolution_ticks = 4096; ///< 1 to 2 us on most machines

  /// 0.2 to 1 ms; no machine goes to sleep and comes back within that. The counter goes on, or
  /// begins anew, while it sleeps.
  static constexpr unsigned long long shortest_sleep_ticks = 1 << 20;

  instant now() {
#ifdef __x86_64__
    const auto ticks = __builtin_ia32_rdtsc();
    const auto gone = ticks - ticks_;
    if (gone < resolution_ticks) return last_; // another processor's may be behind: asks
    ticks_ = ticks;
    last_ = std::chrono::steady_clock::now();
    if (gone < shortest_sleep_ticks) return last_;
#else
    last_ = std::chrono::steady_clock::now();
#endif
    timespec since_boot{};
    ::clock_gettime(CLOCK_BOOTTIME, &since_boot); // goes on while the machine sleeps
    const auto asleep = std::chrono::seconds{since_boot.tv_sec} +
                        std::chrono::nanoseconds{since_boot.tv_nsec} - last_.time_since_epoch();
    if (asleep - asleep_ > min_sleep && asleep_.count() != 0) slept_ = true;
    asleep_ = asleep;
    return last_;
  }

  /// True once after the machine has slept, as of the last `now`.
  [[nodiscard]] bool slept() {
    return slept_ && std::exchange(slept_, false);
  }

private:
  std::chrono::nanoseconds asleep_{0}; // in all
  bool slept_ = false;
  unsigned long long ticks_ = 0;
  instant last_{};
};

} // namespace ropewalk
