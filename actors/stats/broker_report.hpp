#pragma once

#include "actors/stats/client_report.hpp"
#include "actors/stats/described.hpp"
#include "actors/stats/dispatch_totals.hpp"
#include "actors/stats/latency_histogram.hpp"
#include "actors/stats/process_numbers.hpp"
#include "actors/stats/service_report.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ropewalk {

/// What a front knows of a node.
struct node_report {
  std::string name;
  std::string address;
  std::vector<std::string> services;
  std::uint64_t in_flight = 0;
  std::uint64_t answered = 0;
  std::uint32_t pid = 0;
  std::uint32_t slots = 0;
  std::string gateway = {}; ///< who it is, whatever it says of itself
  std::string label = {};   ///< its name, or more where several have it (labelled_nodes)
  bool drained = false;     ///< gets no work until somebody lets it work again
  std::uint64_t failed = 0; ///< of what it answered: FAILED

  static constexpr auto fields() {
    using namespace stats;
    using t = node_report;
    return std::tuple{
        described{"name", &t::name, kind::label, merge::keep},
        described{"label", &t::label, kind::label, merge::keep},
        described{"gateway", &t::gateway, kind::label, merge::keep, measured_in::one, shown::no},
        described{"address", &t::address, kind::label, merge::keep},
        described{"services", &t::services, kind::label, merge::keep},
        described{"in_flight", &t::in_flight, kind::gauge, merge::sum}.as(
            "requests that the node has"),
        described{"answered", &t::answered, kind::counter, merge::sum}.as(
            "requests that came to an end there since it joined"),
        described{"failed", &t::failed, kind::counter, merge::sum}.as(
            "of these, the ones whose handler said that it failed"),
        described{"pid", &t::pid, kind::label, merge::keep},
        described{"slots", &t::slots, kind::gauge, merge::keep}.as(
            "messages that it runs at a time"), // the same for all shards
        described{"drained", &t::drained, kind::gauge, merge::any}.as(
            "1 if it is drained: it gets no work until that is taken back"),
    };
  }
};
static_assert(stats::all_described<node_report>());

/// One shard's part in the broker's numbers: whether clients and work are spread evenly.
struct shard_report {
  std::uint64_t connections = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t queued = 0;
  std::uint64_t answered = 0;
  std::uint16_t number = 0;

  static constexpr auto fields() {
    using namespace stats;
    using t = shard_report;
    return std::tuple{
        described{"connections", &t::connections, kind::gauge, merge::keep}.as(
            "clients that this shard has"),
        described{"in_flight", &t::in_flight, kind::gauge, merge::keep}.as(
            "its requests that nodes have"),
        described{"queued", &t::queued, kind::gauge, merge::keep}.as("its requests that wait"),
        described{"answered", &t::answered, kind::counter, merge::keep}.as(
            "its requests that were answered"),
        described{"shard", &t::number, kind::label, merge::keep},
    };
  }
};
static_assert(stats::all_described<shard_report>());

/// What a front counts besides what its dispatcher does.
struct front_totals {
  std::uint64_t restarts = 0; ///< of slots and node processes
  std::uint64_t connections = 0;
  std::uint64_t rejected = 0;        ///< connections that were refused
  std::uint64_t cut_off = 0;         ///< clients that left their answers unread
  std::uint64_t incoming_bytes = 0;  ///< of messages on their way in
  std::uint64_t unread_bytes = 0;    ///< of answers that clients have not taken
  std::uint64_t request_memory = 0;  ///< what requests may hold in all: --memory
  std::uint64_t answer_memory = 0;   ///< and unread answers: --answers-memory
  std::uint64_t traces_exported = 0; ///< messages whose spans a collector has: --otlp
  std::uint64_t traces_dropped = 0;
  latency_histogram loop_lag; ///< how late the event loop's timers were
  std::string version;
  double uptime_seconds = 0;
  std::uint32_t pid = 0;
  bool draining = false;

  static constexpr auto fields() {
    using namespace stats;
    using t = front_totals;
    return std::tuple{
        described{"restarts", &t::restarts, kind::counter, merge::sum}.as(
            "slots and node processes that were started again"),
        described{"connections", &t::connections, kind::gauge, merge::sum}.as(
            "clients that are connected"),
        described{"turned_away", &t::rejected, kind::counter, merge::sum}.as(
            "connections that were refused"),
        described{"cut_off", &t::cut_off, kind::counter, merge::sum}.as(
            "clients that were cut off because they did not read their answers"),
        described{"incoming_bytes", &t::incoming_bytes, kind::gauge, merge::sum, measured_in::bytes}
            .as("what has come of messages that are not complete"),
        described{"unread_bytes", &t::unread_bytes, kind::gauge, merge::sum, measured_in::bytes}.as(
            "answers that clients have not taken yet"),
        described{"request_memory_bytes", &t::request_memory, kind::gauge, merge::sum,
                  measured_in::bytes}
            .as("what requests may hold in all (--memory)"),
        described{"answer_memory_bytes", &t::answer_memory, kind::gauge, merge::sum,
                  measured_in::bytes}
            .as("what unread answers may hold in all (--answers-memory)"),
        described{"traces_exported", &t::traces_exported, kind::counter, merge::sum}.as(
            "messages whose spans a collector has taken (--otlp)"),
        described{"traces_dropped", &t::traces_dropped, kind::counter, merge::sum}.as(
            "messages whose spans no collector has taken in time, or wanted (--otlp)"),
        described{"loop_lag", &t::loop_lag, kind::counter, merge::sum, measured_in::seconds}.as(
            "how late the event loop's timers were"),
        described{"version", &t::version, kind::label, merge::keep},
        described{"uptime_seconds", &t::uptime_seconds, kind::gauge, merge::max,
                  measured_in::seconds}
            .as("since the broker, or its oldest shard, was started"),
        described{"pid", &t::pid, kind::label, merge::keep},
        described{"draining", &t::draining, kind::gauge, merge::any}.as(
            "1 if it finishes what it has and takes nothing new"),
    };
  }
};
static_assert(stats::all_described<front_totals>());

/// A certificate that the broker shows, or trusts.
struct certificate_report {
  std::string port; ///< client or cluster
  std::string name;
  std::string state; ///< good, not valid yet, ends soon, over
  std::string not_before;
  std::string not_after;
  double ends_in_seconds = 0; ///< from now; below 0: since when it is over

  static constexpr auto fields() {
    using namespace stats;
    using t = certificate_report;
    return std::tuple{
        described{"port", &t::port, kind::label, merge::keep},
        described{"name", &t::name, kind::label, merge::keep},
        described{"state", &t::state, kind::label, merge::keep},
        described{"not_before", &t::not_before, kind::label, merge::keep},
        described{"not_after", &t::not_after, kind::label, merge::keep},
        described{"ends_in_seconds", &t::ends_in_seconds, kind::gauge, merge::keep,
                  measured_in::seconds}
            .as("until the certificate is over"),
    };
  }
};
static_assert(stats::all_described<certificate_report>());

/// What a front says of itself when it is asked for its status; those of all shards add up to the
/// broker's.
struct broker_report {
  dispatch_totals requests;
  front_totals front;
  process_numbers process;
  std::vector<node_report> nodes;
  std::vector<service_report> services;         ///< every one that there ever was, none twice
  std::vector<shard_report> shards;             ///< those whose numbers are in here, by number
  std::vector<certificate_report> certificates; ///< every shard says the same
  std::vector<client_report> clients;           ///< at most max_listed_clients

  /// Adds another shard's numbers. A node that both know is one node, and so is a service.
  void add(const broker_report& other);

  /// Of all services.
  [[nodiscard]] ropewalk::rates rates() const;

  /// The nodes, each with a label of its own: `left`, or `left@HOST:PID` where several are named so,
  /// and `left@HOST:PID#2` where that does not tell them apart either. By name, then as they joined.
  [[nodiscard]] std::vector<node_report> labelled_nodes() const;

  /// As STATUS is answered.
  [[nodiscard]] std::string json() const;
};

} // namespace ropewalk
