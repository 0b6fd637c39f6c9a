#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <vector>

namespace ropewalk {

/// Which of the addresses that a name has is tried when, as RFC 8305 has it ("happy eyeballs"): the
/// first one at once; another one when that has failed, or has said nothing for a moment, while it
/// goes on. Families take turns, so that one that leads nowhere costs one such moment. Pure: the
/// time is an argument.
class connect_race {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// How long an attempt has for itself: what the RFC recommends.
  static constexpr std::chrono::milliseconds attempt_delay{250};

  /// The addresses' families, in the order in which the resolver would have them tried.
  explicit connect_race(const std::vector<int>& families);

  /// The number of the address that is to be tried now; nothing: none is. Ask again until there is
  /// none.
  std::optional<std::size_t> next(time_point now);

  /// An attempt has come to nothing.
  void failed(time_point now) { due_ = now; }

  /// When the next one is to be tried; nothing: all have been.
  [[nodiscard]] std::optional<time_point> due() const;

private:
  std::vector<std::size_t> order_;
  std::size_t tried_ = 0;
  time_point due_{}; // the first one: at once
};

} // namespace ropewalk
