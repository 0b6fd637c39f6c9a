#pragma once

#include "actors/stats/described.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace ropewalk {

/// Durations by powers of two: bucket i counts those of 2^i ns up to 2^(i+1), so that to record one
/// is to find its highest bit, an increment and a sum. For what is counted with every message; of
/// measurements that want more than the order of magnitude, `histogram` is within a hundredth.
/// 520 bytes, whatever is recorded.
struct latency_histogram {
  static constexpr std::size_t size = 64;

  std::array<std::uint64_t, size> buckets{};
  std::uint64_t sum_ns = 0; ///< of all that were recorded

  void record(std::uint64_t ns) {
    ++buckets[static_cast<std::size_t>(std::bit_width(ns | 1) - 1)];
    sum_ns += ns;
  }

  [[nodiscard]] std::uint64_t count() const {
    std::uint64_t result = 0;
    for (const auto one : buckets) result += one;
    return result;
  }

  /// What the part `q` (0 to 1) of all is no longer than, in seconds, with the values of a bucket
  /// spread evenly over it; 0 if there are none.
  [[nodiscard]] double quantile(double q) const {
    const auto all = count();
    if (all == 0) return 0;
    const auto wanted = std::max(1.0, std::ceil(q * static_cast<double>(all)));
    double seen = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const auto here = static_cast<double>(buckets[i]);
      if (here > 0 && seen + here >= wanted)
        return std::ldexp(1e-9 * (1 + (wanted - seen) / here), static_cast<int>(i));
      seen += here;
    }
    return 0;
  }

  static constexpr auto fields() {
    using namespace stats;
    using t = latency_histogram;
    return std::tuple{
        described{"buckets", &t::buckets, kind::counter, merge::sum},
        described{"sum_ns", &t::sum_ns, kind::counter, merge::sum},
    };
  }
};
static_assert(stats::all_described<latency_histogram>());

} // namespace ropewalk
