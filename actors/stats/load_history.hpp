#pragma once

#include "actors/stats/described.hpp"
#include "actors/stats/latency_histogram.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ropewalk {

/// How much a shard has done since it began, and has in hand now.
struct load_totals {
  std::uint64_t answered = 0; ///< replies and the handlers' own errors
  std::uint64_t errors = 0;   ///< of any code, but for what clients took back themselves
  std::uint64_t waiting = 0;
  std::uint64_t in_flight = 0;
  latency_histogram total; ///< how long answered requests took from coming in to their answer

  static constexpr auto fields() {
    using namespace stats;
    using t = load_totals;
    return std::tuple{
        described{"answered", &t::answered, kind::counter, merge::sum},
        described{"errors", &t::errors, kind::counter, merge::sum},
        described{"waiting", &t::waiting, kind::gauge, merge::sum},
        described{"in_flight", &t::in_flight, kind::gauge, merge::sum},
        described{"total", &t::total, kind::counter, merge::sum},
    };
  }
};
static_assert(stats::all_described<load_totals>());

/// What came to pass from the point before until `at`.
struct load_point {
  std::chrono::steady_clock::time_point at;
  double answered_per_second = 0;
  double errors_per_second = 0;
  float p50_seconds = 0; ///< of what was answered; 0: nothing was
  float p90_seconds = 0;
  float p99_seconds = 0;
  std::uint32_t waiting = 0; ///< at its end
  std::uint32_t in_flight = 0;
};
static_assert(sizeof(load_point) <= 48);

/// Some of them that follow each other, the last being the last that there is.
struct load_points {
  std::vector<load_point> list;
  std::uint64_t next = 0; ///< the number of the one that will follow
};

/// What a broker did in the last hour, a point every five seconds: 720 of them, 48 bytes each,
/// whatever happens. Fed with totals that only grow, of each shard by itself and as often as it
/// likes; one that begins anew (its front fell) begins at zero, and nothing is counted twice or
/// below it.
class load_history {
public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds interval{5};
  static constexpr std::size_t capacity = 720;

  explicit load_history(std::size_t shards = 1) : latest_(shards) {}

  /// A shard has these totals now. The first call begins the first point.
  void record(std::size_t shard, const load_totals& totals, clock::time_point now);

  /// How many points there ever were.
  [[nodiscard]] std::uint64_t count() const { return count_; }

  /// The points from number `first` on (0: the first that ever was), as far as they are kept.
  [[nodiscard]] load_points since(std::uint64_t first) const;

private:
  void close_point(clock::time_point now);

  std::vector<load_totals> latest_; // by shard
  load_totals open_;                // what came since the last point; gauges are not used
  clock::time_point open_since_{};
  std::vector<load_point> ring_; // point number i stands at i % capacity
  std::uint64_t count_ = 0;
};

} // namespace ropewalk
