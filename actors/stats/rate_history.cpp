#include "actors/stats/rate_history.hpp"

#include <algorithm>
#include <chrono>

namespace ropewalk {

void rate_history::begin_sample(instant now) {
  ++taken_;
  times_[before(0)] = now;
}

void rate_history::record(std::size_t service, const event_totals& totals) {
  if (service >= services_.size()) services_.resize(service + 1);
  services_[service][before(0)] = totals;
}

rates rate_history::of(std::size_t service) const {
  if (service >= services_.size()) return {};
  const auto& totals = services_[service];
  return {since(1, totals), since(10, totals), since(60, totals)};
}

// Where the sample stands that is so many older than the last one; or the first one.
std::size_t rate_history::before(std::size_t intervals) const {
  const auto back = std::min<std::uint64_t>(intervals, taken_ - 1);
  return (taken_ - 1 - back) % samples;
}

// By the time that has really gone by: a loop that was held up takes its samples late.
event_rates rate_history::since(std::size_t intervals, const totals_by_sample& totals) const {
  if (taken_ < 2) return {};
  const auto begin = before(intervals);
  const auto end = before(0);
  const auto time = std::chrono::duration<double>(times_[end] - times_[begin]).count();
  if (time <= 0) return {};
  const auto rate = [&](std::uint64_t event_totals::*of) {
    return static_cast<double>(totals[end].*of - totals[begin].*of) / time;
  };
  return {rate(&event_totals::submitted), rate(&event_totals::answered),
          rate(&event_totals::errors)};
}

} // namespace ropewalk
