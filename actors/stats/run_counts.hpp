#pragma once

#include "actors/stats/described.hpp"
#include "actors/stats/latency_histogram.hpp"
#include "net/protocol/batch.hpp"

#include <array>
#include <cstdint>
#include <string_view>

namespace ropewalk {

/// How a run on a node came to its end, for who counts them.
enum class run_end : std::uint8_t {
  ok,
  failed,      ///< the handler said so, or its answer could not be used
  crashed,     ///< what ran it died, of it or of one that ran beside it
  timeout,     ///< its deadline, or its service's timeout
  cancelled,   ///< nobody wanted its answer any more
  interrupted, ///< what ran it was ended because of something else
  returned,    ///< it could not be started here, and went back to the broker
};

inline constexpr std::array<std::string_view, 7> run_end_names{
    "ok", "failed", "crashed", "timeout", "cancelled", "interrupted", "returned"};

using run_end_counts = std::array<std::uint64_t, run_end_names.size()>;

[[nodiscard]] constexpr run_end run_end_of(const answer_head& answer) {
  switch (answer.end) {
  case item_end::returned:
    return run_end::returned;
  case item_end::crashed:
  case item_end::suspect:
    return run_end::crashed;
  case item_end::interrupted:
    return run_end::interrupted;
  case item_end::answered:
  case item_end::failed:
    break;
  }
  if (answer.code == error_code::ok) return run_end::ok;
  if (answer.code == error_code::timeout) return run_end::timeout;
  return answer.code == error_code::cancelled ? run_end::cancelled : run_end::failed;
}

/// What a node counts of one service's runs as they happen.
struct run_counts {
  std::uint64_t begun = 0;
  std::uint64_t returned = 0; ///< messages that went back unstarted, by a slot or from the queue
  run_end_counts ended{};
  latency_histogram running; ///< of those that answered or failed

  void end(const answer_head& answer) {
    const auto how = run_end_of(answer);
    ++ended[static_cast<std::size_t>(how)];
    if (how == run_end::returned) ++returned;
    if (answer.end == item_end::answered || answer.end == item_end::failed)
      running.record(std::uint64_t{answer.run_us} * 1000);
  }

  static constexpr auto fields() {
    using namespace stats;
    using t = run_counts;
    return std::tuple{
        described{"runs_begun", &t::begun, kind::counter, merge::sum}.as(
            "messages that a slot took to run"),
        described{"returned", &t::returned, kind::counter, merge::sum}.as(
            "messages that went back to the broker without having been started"),
        described{"runs_ended", &t::ended, kind::counter, merge::sum}.as(
            "runs that came to an end, by how they did"),
        described{"time_running", &t::running, kind::counter, merge::sum, measured_in::seconds}.as(
            "how long the runs took that the handler ended"),
    };
  }
};
static_assert(stats::all_described<run_counts>());

} // namespace ropewalk
