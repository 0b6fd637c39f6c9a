#pragma once

#include "actors/stats/rates.hpp"
#include "actors/time/instant.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ropewalk {

/// What has been counted of one service.
struct event_totals {
  std::uint64_t submitted = 0;
  std::uint64_t answered = 0;
  std::uint64_t errors = 0;
};

/// Makes rates of totals that somebody reads once a second: what counts does nothing for it.
/// Services are numbered from 0 on; 1.5 KB each. No clock.
///
///     history.begin_sample(now);
///     history.record(service, totals of it) ...
class rate_history {
public:
  /// How often samples are to be taken.
  static constexpr std::chrono::seconds interval{1};

  /// The next sample is of now.
  void begin_sample(instant now);

  /// What of this service had been counted by then, all in all. Of one that comes later there was
  /// nothing before.
  void record(std::size_t service, const event_totals& totals);

  /// From the last sample back; nothing but zeros while there is just one, or no such service.
  [[nodiscard]] rates of(std::size_t service) const;

private:
  // Sixty intervals have as many ends and one.
  static constexpr std::size_t samples = 61;

  using totals_by_sample = std::array<event_totals, samples>;

  [[nodiscard]] std::size_t before(std::size_t intervals) const;
  [[nodiscard]] event_rates since(std::size_t intervals, const totals_by_sample& totals) const;

  std::array<instant, samples> times_{};
  std::vector<totals_by_sample> services_;
  std::uint64_t taken_ = 0;
};

} // namespace ropewalk
