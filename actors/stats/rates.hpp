#pragma once

#include "actors/stats/described.hpp"

#include <cstdint>

namespace ropewalk {

/// How many a second.
struct event_rates {
  double submitted = 0;
  double answered = 0; ///< replies and the handlers' own errors
  double errors = 0;   ///< of every code, the handlers' own among them

  static constexpr auto fields() {
    using namespace stats;
    using t = event_rates;
    return std::tuple{
        described{"submitted", &t::submitted, kind::gauge, merge::sum},
        described{"answered", &t::answered, kind::gauge, merge::sum},
        described{"errors", &t::errors, kind::gauge, merge::sum},
    };
  }
};
static_assert(stats::all_described<event_rates>());

/// The same over the last second, the last ten, and the last sixty; where the broker is younger,
/// since it began. Whoever scrapes has his own windows: these are not exported.
struct rates {
  event_rates over_1s;
  event_rates over_10s;
  event_rates over_60s;

  static constexpr auto fields() {
    using namespace stats;
    using t = rates;
    return std::tuple{
        described{"1s", &t::over_1s, kind::gauge, merge::sum},
        described{"10s", &t::over_10s, kind::gauge, merge::sum},
        described{"60s", &t::over_60s, kind::gauge, merge::sum},
    };
  }
};
static_assert(stats::all_described<rates>());

} // namespace ropewalk
