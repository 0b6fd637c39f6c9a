#pragma once

#include <chrono>
#include <functional>
#include <thread>

namespace ropewalk {

/// Waits until `holds` is true; false if it is not within `patience`. Never a fixed sleep: looks
/// once every `interval`.
inline bool eventually(const std::function<bool()>& holds,
                       std::chrono::milliseconds patience = std::chrono::seconds{10},
                       std::chrono::microseconds interval = std::chrono::milliseconds{2}) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(interval);
  }
  return true;
}

} // namespace ropewalk
