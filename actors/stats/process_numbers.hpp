#pragma once

#include "actors/stats/described.hpp"

#include <cstdint>

namespace ropewalk {

/// What the system says of the process: the names are those by which Prometheus knows these of
/// every program.
struct process_numbers {
  double cpu_seconds = 0;
  std::uint64_t resident_memory_bytes = 0;
  std::uint64_t open_fds = 0; ///< 0: so many that to count them would take too long
  std::uint64_t max_fds = 0;

  static constexpr auto fields() {
    using namespace stats;
    using t = process_numbers;
    return std::tuple{
        described{"cpu_seconds", &t::cpu_seconds, kind::counter, merge::max, measured_in::seconds}
            .as("user and system time that the process has taken"),
        described{"resident_memory_bytes", &t::resident_memory_bytes, kind::gauge, merge::max,
                  measured_in::bytes}
            .as("memory of the process that is in the machine's"),
        described{"open_fds", &t::open_fds, kind::gauge, merge::max}.as(
            "open descriptors; 0: too many to count them in passing"),
        described{"max_fds", &t::max_fds, kind::gauge, merge::max}.as(
            "descriptors that the process may have (ulimit -n)"),
    };
  }
};
static_assert(stats::all_described<process_numbers>());

} // namespace ropewalk
