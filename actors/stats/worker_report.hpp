#pragma once

#include "actors/stats/broker_report.hpp"
#include "actors/stats/run_counts.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ropewalk {

/// One service of a node as it is now.
struct worker_service_state {
  std::string name;
  std::uint64_t waiting = 0;
  std::uint64_t waiting_bytes = 0;
  std::uint64_t processes_memory = 0; ///< of handlers that stay up, each with what it has started
  std::uint64_t restarts = 0;         ///< of slots that fell, and of processes that were ready
  std::uint64_t recycles = 0;
  std::uint32_t slots = 0;
  std::uint32_t slots_ready = 0;
  std::uint32_t slots_busy = 0;
  std::uint32_t slots_failing = 0;
  std::uint32_t processes = 0; ///< that are ready

  static constexpr auto fields() {
    using namespace stats;
    using t = worker_service_state;
    return std::tuple{
        described{"name", &t::name, kind::label, merge::keep},
        described{"waiting", &t::waiting, kind::gauge, merge::sum}.as(
            "messages on this node that no slot has taken yet"),
        described{"waiting_bytes", &t::waiting_bytes, kind::gauge, merge::sum, measured_in::bytes}
            .as("their payloads"),
        described{"processes_memory_bytes", &t::processes_memory, kind::gauge, merge::sum,
                  measured_in::bytes}
            .as("memory of the handler processes, with all that they have started"),
        described{"restarts", &t::restarts, kind::counter, merge::sum}.as(
            "slots that fell, and handler processes that ended by themselves, and were started "
            "again"),
        described{"recycles", &t::recycles, kind::counter, merge::sum}.as(
            "handler processes that another one took the place of: recycle-after, recycle-age, "
            "max-memory or a reload"),
        described{"slots", &t::slots, kind::gauge, merge::sum}.as(
            "messages that it may run at a time, if all of its slots are there"),
        described{"slots_ready", &t::slots_ready, kind::gauge, merge::sum}.as(
            "slots that run a message or could"),
        described{"slots_busy", &t::slots_busy, kind::gauge, merge::sum}.as(
            "slots that run a message"),
        described{"slots_failing", &t::slots_failing, kind::gauge, merge::sum}.as(
            "slots that should be ready and are not: they fell, or do not start"),
        described{"processes", &t::processes, kind::gauge, merge::sum}.as(
            "handler processes that are ready"),
    };
  }
};
static_assert(stats::all_described<worker_service_state>());

struct worker_service_report {
  worker_service_state state;
  run_counts runs;
};

/// What a node says of itself besides its services.
struct worker_totals {
  std::string name;
  std::string version;
  std::string not_ready; ///< why it takes no work as it should; empty: it does
  double uptime_seconds = 0;
  double programs_cpu_seconds = 0;
  std::uint64_t programs_memory = 0;
  std::uint64_t waiting = 0;
  std::uint64_t held_bytes = 0;
  std::uint64_t joins = 0;
  std::uint32_t shards = 0; ///< that the broker has; 0: not known yet
  std::uint32_t shards_joined = 0;
  std::uint32_t pid = 0;
  bool draining = false;
  bool ready = false;

  static constexpr auto fields() {
    using namespace stats;
    using t = worker_totals;
    return std::tuple{
        described{"name", &t::name, kind::label, merge::keep},
        described{"version", &t::version, kind::label, merge::keep},
        described{"not_ready", &t::not_ready, kind::label, merge::keep},
        described{"uptime_seconds", &t::uptime_seconds, kind::gauge, merge::max,
                  measured_in::seconds}
            .as("since the process was started"),
        described{"programs_cpu_seconds", &t::programs_cpu_seconds, kind::counter, merge::max,
                  measured_in::seconds}
            .as("user and system time that all programs of its handlers have taken"),
        described{"programs_memory_bytes", &t::programs_memory, kind::gauge, merge::max,
                  measured_in::bytes}
            .as("memory of all programs of its handlers, with what starts them"),
        described{"waiting", &t::waiting, kind::gauge, merge::sum}.as(
            "messages on this node that no slot has taken yet"),
        described{"held_bytes", &t::held_bytes, kind::gauge, merge::sum, measured_in::bytes}.as(
            "their payloads"),
        described{"joins", &t::joins, kind::counter, merge::sum}.as(
            "times that it has joined the broker, or one of its shards: all but the first of each "
            "were after a loss"),
        described{"shards", &t::shards, kind::gauge, merge::max}.as(
            "shards that the broker has; 0: it has not been reached yet"),
        described{"shards_joined", &t::shards_joined, kind::gauge, merge::max}.as(
            "those of which it is a member now"),
        described{"pid", &t::pid, kind::label, merge::keep},
        described{"draining", &t::draining, kind::gauge, merge::any}.as(
            "1 if it finishes what it has and takes nothing new"),
        described{"ready", &t::ready, kind::gauge, merge::any}.as(
            "1 if it is a member of all shards, and every service has a slot that is ready"),
    };
  }
};
static_assert(stats::all_described<worker_totals>());

/// What a node says of itself when it is asked over HTTP (net/STATUS.md).
struct worker_report {
  worker_totals node;
  process_numbers process;
  std::vector<worker_service_report> services;
  std::vector<certificate_report> certificates;

  /// Another node's of the same process: one that takes its place, or drains. A service that both
  /// have is one.
  void add(const worker_report& other);

  /// Why it is not ready, for people: the broker at `broker`, or the services without a slot. Empty:
  /// it is.
  [[nodiscard]] std::string why_not_ready(const std::string& broker) const;

  [[nodiscard]] std::string json() const;
};

} // namespace ropewalk
