#pragma once

#include "actors/time/instant.hpp"

#include <algorithm>
#include <chrono>
#include <mutex>

namespace ropewalk {

/// How long a slot pauses that cannot start its handler: longer every time, until a start works.
class start_pause {
public:
  static constexpr milliseconds first{100};
  static constexpr milliseconds longest{5000};

  milliseconds next() {
    const auto now = next_;
    next_ = std::min(2 * next_, longest);
    return now;
  }
  void reset() { next_ = first; }

private:
  milliseconds next_ = first;
};

/// What the slots of a service could not start: each is counted, and one in a while is logged.
class start_failures {
public:
  static constexpr std::chrono::seconds silence{5};

  bool is_to_be_said(instant now) {
    const std::lock_guard lock{mutex_};
    ++count_;
    if (said_ && now - last_said_ < silence) return false;
    said_ = true;
    last_said_ = now;
    return true;
  }

  [[nodiscard]] std::uint64_t count() const {
    const std::lock_guard lock{mutex_};
    return count_;
  }

private:
  mutable std::mutex mutex_;
  std::uint64_t count_ = 0;
  bool said_ = false;
  instant last_said_{};
};

} // namespace ropewalk
