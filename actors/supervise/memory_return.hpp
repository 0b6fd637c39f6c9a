#pragma once

#include "actors/time/instant.hpp"
#include "net/protocol/limits.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace ropewalk {

/// When free memory goes back to the system. While a process works it keeps what it has freed, to
/// have it again without a page fault; after a burst that would be its size for ever. It goes back
/// when it is much and the process has been quiet for a moment. Pure: the time and what was measured
/// are arguments.
class memory_return {
public:
  /// How often to ask.
  static constexpr milliseconds interval{2000};

  /// A process that works less than this part of the time is quiet: a broker at rest, with its
  /// nodes' heartbeats, is far below, and one whose clients would feel the pause (some 100 us a MiB)
  /// far above.
  static constexpr double quiet_share = 0.1;

  /// So much may be kept, in bytes: half of what is promised, since not all that is free can go back.
  static constexpr std::uint64_t max_kept = 32 * limits::mib;

  /// Whether it is time to find out how much of it is in use. `processor_time`: what the process
  /// has used in all; `resident`: its memory, in bytes.
  bool is_time(instant now, std::chrono::nanoseconds processor_time, std::uint64_t resident) {
    const bool quiet = since_ && std::chrono::duration<double>(processor_time - used_) <
                                     quiet_share * std::chrono::duration<double>(now - *since_);
    since_ = now;
    used_ = processor_time;
    return quiet && resident > max_kept;
  }

  /// Whether free memory is to be given back. `in_use`: of the heap, in bytes.
  bool is_worth_it(std::uint64_t resident, std::uint64_t in_use) {
    beside_ = std::min(beside_, beside(resident, in_use));
    return beside(resident, in_use) > beside_ + max_kept;
  }

  /// It was given back; so much was left. What is not in use even now cannot be given back: code,
  /// stacks, holes too small.
  void given_back(std::uint64_t resident, std::uint64_t in_use) {
    beside_ = beside(resident, in_use);
  }

private:
  static std::uint64_t beside(std::uint64_t resident, std::uint64_t in_use) {
    return resident - std::min(resident, in_use);
  }

  std::optional<instant> since_;
  std::chrono::nanoseconds used_{0};
  std::uint64_t beside_ = 0; // resident and not in use: what could not be given back the last time
};

} // namespace ropewalk
