#pragma once

#include <caf/meta/type_name.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ropewalk {

/// What a front knows of a node.
struct node_report {
  std::string name;
  std::uint32_t pid = 0;
  std::string address;
  std::vector<std::string> services;
  std::uint32_t slots = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t answered = 0;
};

/// One shard's part in the broker's numbers: whether clients and work are spread evenly.
struct shard_report {
  std::uint16_t number = 0;
  std::uint64_t connections = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t queued = 0;
  std::uint64_t answered = 0;
};

/// What a front says of itself when it is asked for its status; those of all shards add up to the
/// broker's.
struct broker_report {
  std::vector<node_report> nodes;
  std::uint64_t in_flight = 0;
  std::uint64_t queued = 0;
  std::uint64_t restarts = 0;
  std::uint64_t redispatched = 0;
  std::uint64_t returned = 0;
  std::uint64_t submitted = 0;
  std::uint64_t answered = 0;
  std::map<std::string, std::uint64_t> refused; ///< by the error code's name
  std::uint64_t stale_answers = 0;
  std::uint64_t held_bytes = 0;
  std::uint64_t connections = 0;
  std::uint64_t turned_away = 0;
  std::vector<shard_report> shards; ///< those whose numbers are in here, by number
  bool draining = false;
  double uptime_seconds = 0;

  /// Adds another shard's numbers. A node that both know is one node.
  void add(const broker_report& other);

  /// As STATUS is answered.
  [[nodiscard]] std::string json() const;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, node_report& x) {
  return f(caf::meta::type_name("node_report"), x.name, x.pid, x.address, x.services, x.slots,
           x.in_flight, x.answered);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, shard_report& x) {
  return f(caf::meta::type_name("shard_report"), x.number, x.connections, x.in_flight, x.queued,
           x.answered);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, broker_report& x) {
  return f(caf::meta::type_name("broker_report"), x.nodes, x.in_flight, x.queued, x.restarts,
           x.redispatched, x.returned, x.submitted, x.answered, x.refused, x.stale_answers,
           x.held_bytes, x.connections, x.turned_away, x.shards, x.draining, x.uptime_seconds);
}

} // namespace ropewalk
