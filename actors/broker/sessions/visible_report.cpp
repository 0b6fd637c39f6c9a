#include "actors/broker/sessions/visible_report.hpp"

namespace ropewalk {

broker_report visible_to(const access& who, const broker_report& all) {
  broker_report result;
  result.front.uptime_seconds = all.front.uptime_seconds;
  result.front.draining = all.front.draining;
  for (const auto& node : all.nodes) {
    node_report shown;
    for (const auto& service : node.services)
      if (who.may_ask(service)) shown.services.push_back(service);
    if (shown.services.empty()) continue;
    shown.name = "node " + std::to_string(result.nodes.size() + 1);
    if (shown.services.size() == node.services.size()) shown.slots = node.slots;
    result.nodes.push_back(std::move(shown));
  }
  return result;
}

} // namespace ropewalk
