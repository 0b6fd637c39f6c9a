#pragma once

#include "actors/stats/dispatch_totals.hpp"
#include "actors/stats/latency_histogram.hpp"
#include "actors/stats/rates.hpp"

#include <cstdint>
#include <string>

namespace ropewalk {

/// What is counted of one service as it happens.
struct service_counts {
  std::uint64_t submitted = 0;
  std::uint64_t bytes_in = 0;     ///< payloads of what was admitted
  std::uint64_t bytes_out = 0;    ///< payloads of answers
  std::uint64_t retries = 0;      ///< started again after their worker was lost
  std::uint64_t redispatched = 0; ///< these, and what was placed again without having been started
  std::uint64_t returned = 0;     ///< sent back unstarted, and to be placed again
  error_counts errors{};
  latency_histogram waiting; ///< of what was answered: its time in all less its last run
  latency_histogram running; ///< how long the run took that answered it, as the node has measured
  latency_histogram total;   ///< from coming in to being answered

  static constexpr auto fields() {
    using namespace stats;
    using t = service_counts;
    return std::tuple{
        described{"submitted", &t::submitted, kind::counter, merge::sum}.as("requests that came"),
        described{"request_bytes", &t::bytes_in, kind::counter, merge::sum, measured_in::bytes}.as(
            "payloads of requests that were admitted"),
        described{"answer_bytes", &t::bytes_out, kind::counter, merge::sum, measured_in::bytes}.as(
            "payloads of answers"),
        described{"retries", &t::retries, kind::counter, merge::sum}.as(
            "starts after a worker was lost while it ran the request"),
        described{"redispatched", &t::redispatched, kind::counter, merge::sum}.as(
            "requests placed again because their worker was lost"),
        described{"returned", &t::returned, kind::counter, merge::sum}.as(
            "requests that a node gave back unstarted"),
        described{"errors", &t::errors, kind::counter, merge::sum}.as(
            "requests that ended with an error, by its code"),
        described{"time_waiting", &t::waiting, kind::counter, merge::sum, measured_in::seconds}.as(
            "how long answered requests waited, in all"),
        described{"time_running", &t::running, kind::counter, merge::sum, measured_in::seconds}.as(
            "how long the runs took that answered"),
        described{"time_in_all", &t::total, kind::counter, merge::sum, measured_in::seconds}.as(
            "how long answered requests took from coming in to their answer"),
    };
  }
};
static_assert(stats::all_described<service_counts>());

/// One service as it is now.
struct service_state {
  std::string name;
  double oldest_waiting_seconds = 0; ///< how long the one has waited that has waited longest
  std::uint64_t answered = 0;        ///< replies and the handlers' own errors
  std::uint64_t waiting = 0;         ///< for a slot, or behind their key
  std::uint64_t in_flight = 0;       ///< with nodes: running, or ahead of a slot there
  std::uint32_t nodes = 0;           ///< that offer it
  std::uint32_t slots = 0;           ///< of these
  std::uint32_t slots_busy = 0;
  std::uint32_t slots_failing = 0; ///< that fell, or of a pool that restarts too often
  bool paused = false;             ///< its requests wait until somebody lets it go on

  static constexpr auto fields() {
    using namespace stats;
    using t = service_state;
    return std::tuple{
        described{"name", &t::name, kind::label, merge::keep},
        described{"oldest_waiting_seconds", &t::oldest_waiting_seconds, kind::gauge, merge::max,
                  measured_in::seconds}
            .as("how long the request has waited that has waited longest"),
        described{"answered", &t::answered, kind::counter, merge::sum}.as(
            "replies and the handlers' own errors"),
        described{"waiting", &t::waiting, kind::gauge, merge::sum}.as(
            "requests that wait for a slot, or behind their key"),
        described{"in_flight", &t::in_flight, kind::gauge, merge::sum}.as(
            "requests that nodes have: running, or ahead of a slot"),
        described{"nodes", &t::nodes, kind::gauge, merge::max}.as("nodes that offer it"),
        described{"slots", &t::slots, kind::gauge, merge::max}.as("slots of these nodes"),
        described{"slots_busy", &t::slots_busy, kind::gauge, merge::sum}.as("slots that run one"),
        described{"slots_failing", &t::slots_failing, kind::gauge, merge::max}.as(
            "slots that fell, or of a pool that restarts too often"),
        described{"paused", &t::paused, kind::gauge, merge::any}.as(
            "1 if it is paused: its requests wait until it is resumed"),
    };
  }
};
static_assert(stats::all_described<service_state>());

/// What is known of one service.
struct service_report {
  service_state state;
  service_counts counts;
  ropewalk::rates rates;

  /// Adds what another shard, or another service, has.
  void add(const service_report& other) {
    stats::add_fields(state, other.state);
    stats::add_fields(counts, other.counts);
    stats::add_fields(rates, other.rates);
  }
};

} // namespace ropewalk
