#pragma once

#include "actors/stats/broker_report.hpp"
#include "actors/stats/worker_report.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace ropewalk {

/// Services, and nodes, that /metrics names; the others are summed up as "other". Else whoever may
/// start a worker could fill the memory of who scrapes.
inline constexpr std::size_t max_named_services = 200;
inline constexpr std::size_t max_named_nodes = 200;

inline constexpr std::string_view metrics_type = "text/plain; version=0.0.4; charset=utf-8";

/// A broker's numbers in Prometheus' text format, version 0.0.4: all that `fields` describe with a
/// sentence, as ropewalk_requests_*, ropewalk_service_*, ropewalk_node_*, ropewalk_shard_*,
/// ropewalk_broker_* and process_*. Nodes of one name are one, as are services.
std::string metrics_text(const broker_report& all);

/// A node's, likewise: ropewalk_worker_*, ropewalk_worker_service_* and process_*; its release and its
/// certificates under the names that a broker has for them.
std::string metrics_text(const worker_report& all);

} // namespace ropewalk
