#pragma once

#include "actors/stats/described.hpp"
#include "actors/stats/dispatch_totals.hpp"

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

  static constexpr auto fields() {
    using namespace stats;
    using t = node_report;
    return std::tuple{
        described{"name", &t::name, kind::label, merge::keep},
        described{"label", &t::label, kind::label, merge::keep},
        described{"gateway", &t::gateway, kind::label, merge::keep, measured_in::one, shown::no},
        described{"address", &t::address, kind::label, merge::keep},
        described{"services", &t::services, kind::label, merge::keep},
        described{"in_flight", &t::in_flight, kind::gauge, merge::sum},
        described{"answered", &t::answered, kind::counter, merge::sum},
        described{"pid", &t::pid, kind::label, merge::keep},
        described{"slots", &t::slots, kind::gauge,
                  merge::keep}, // a node's are the same for all shards
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
        described{"connections", &t::connections, kind::gauge, merge::keep},
        described{"in_flight", &t::in_flight, kind::gauge, merge::keep},
        described{"queued", &t::queued, kind::gauge, merge::keep},
        described{"answered", &t::answered, kind::counter, merge::keep},
        described{"shard", &t::number, kind::label, merge::keep},
    };
  }
};
static_assert(stats::all_described<shard_report>());

/// What a front counts besides what its dispatcher does.
struct front_totals {
  std::uint64_t restarts = 0; ///< of slots and node processes
  std::uint64_t connections = 0;
  std::uint64_t rejected = 0; ///< connections that were refused
  double uptime_seconds = 0;
  std::uint32_t pid = 0;
  bool draining = false;

  static constexpr auto fields() {
    using namespace stats;
    using t = front_totals;
    return std::tuple{
        described{"restarts", &t::restarts, kind::counter, merge::sum},
        described{"connections", &t::connections, kind::gauge, merge::sum},
        described{"turned_away", &t::rejected, kind::counter, merge::sum},
        described{"uptime_seconds", &t::uptime_seconds, kind::gauge, merge::max,
                  measured_in::seconds},
        described{"pid", &t::pid, kind::label, merge::keep},
        described{"draining", &t::draining, kind::gauge, merge::any},
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

  static constexpr auto fields() {
    using namespace stats;
    using t = certificate_report;
    return std::tuple{
        described{"port", &t::port, kind::label, merge::keep},
        described{"name", &t::name, kind::label, merge::keep},
        described{"state", &t::state, kind::label, merge::keep},
        described{"not_before", &t::not_before, kind::label, merge::keep},
        described{"not_after", &t::not_after, kind::label, merge::keep},
    };
  }
};
static_assert(stats::all_described<certificate_report>());

/// What a front says of itself when it is asked for its status; those of all shards add up to the
/// broker's.
struct broker_report {
  dispatch_totals requests;
  front_totals front;
  std::vector<node_report> nodes;
  std::vector<shard_report> shards;             ///< those whose numbers are in here, by number
  std::vector<certificate_report> certificates; ///< every shard says the same

  /// Adds another shard's numbers. A node that both know is one node.
  void add(const broker_report& other);

  /// The nodes, each with a label of its own: `left`, or `left@HOST:PID` where several are named so,
  /// and `left@HOST:PID#2` where that does not tell them apart either. By name, then as they joined.
  [[nodiscard]] std::vector<node_report> labelled_nodes() const;

  /// As STATUS is answered.
  [[nodiscard]] std::string json() const;
};

} // namespace ropewalk
