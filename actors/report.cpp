#include "actors/report.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace ropewalk {

void broker_report::add(const broker_report& other) {
  for (const auto& theirs : other.nodes) {
    const auto same = std::find_if(nodes.begin(), nodes.end(), [&](const node_report& n) {
      return n.pid == theirs.pid && n.name == theirs.name && n.address == theirs.address;
    });
    if (same == nodes.end()) {
      nodes.push_back(theirs);
    } else {
      same->in_flight += theirs.in_flight;
      same->answered += theirs.answered;
    }
  }
  in_flight += other.in_flight;
  queued += other.queued;
  restarts += other.restarts;
  redispatched += other.redispatched;
  returned += other.returned;
  submitted += other.submitted;
  answered += other.answered;
  for (const auto& [code, count] : other.refused) refused[code] += count;
  stale_answers += other.stale_answers;
  held_bytes += other.held_bytes;
  connections += other.connections;
  turned_away += other.turned_away;
  shards.insert(shards.end(), other.shards.begin(), other.shards.end());
  std::sort(shards.begin(), shards.end(),
            [](const shard_report& a, const shard_report& b) { return a.number < b.number; });
  draining = draining || other.draining;
  uptime_seconds = std::max(uptime_seconds, other.uptime_seconds);
}

std::string broker_report::json() const {
  nlohmann::json result;
  result["nodes"] = nlohmann::json::array();
  for (const auto& n : nodes)
    result["nodes"].push_back({{"name", n.name},
                               {"pid", n.pid},
                               {"address", n.address},
                               {"services", n.services},
                               {"slots", n.slots},
                               {"in_flight", n.in_flight},
                               {"answered", n.answered}});
  result["shards"] = nlohmann::json::array();
  for (const auto& s : shards)
    result["shards"].push_back({{"shard", s.number},
                                {"connections", s.connections},
                                {"in_flight", s.in_flight},
                                {"queued", s.queued},
                                {"answered", s.answered}});
  result["in_flight"] = in_flight;
  result["queued"] = queued;
  result["restarts"] = restarts;
  result["redispatched"] = redispatched;
  result["returned"] = returned;
  result["submitted"] = submitted;
  result["answered"] = answered;
  result["refused"] = refused;
  result["stale_answers"] = stale_answers;
  result["held_bytes"] = held_bytes;
  result["connections"] = connections;
  result["turned_away"] = turned_away;
  result["draining"] = draining;
  result["pid"] = ::getpid();
  result["uptime_seconds"] = uptime_seconds;
  // Names come from nodes: what is not UTF-8 in them must not stop the status.
  return result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace ropewalk
