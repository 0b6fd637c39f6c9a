#pragma once

#include "actors/time/instant.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace ropewalk {

/// Finds the runs that go on although nobody has wanted their answers for longer than a time that is
/// the same for all. Pure; looked at every so often.
class overdue_runs {
public:
  overdue_runs(std::uint32_t slots, milliseconds stop_timeout)
      : stop_timeout_(stop_timeout), slots_(slots) {}

  /// `unwanted`: when the slot began what it runs, if nobody wants that any more. True if it is
  /// overdue, counted from the first time that it was seen to be unwanted.
  [[nodiscard]] bool is_overdue(std::uint32_t slot, std::optional<instant> unwanted, instant now) {
    auto& s = slots_[slot];
    if (s.run != unwanted) s = {unwanted, now};
    return unwanted && now - s.seen >= stop_timeout_;
  }

private:
  struct seen_run {
    std::optional<instant> run; // when it began: no other of the slot did
    instant seen{};
  };

  milliseconds stop_timeout_;
  std::vector<seen_run> slots_;
};

} // namespace ropewalk
