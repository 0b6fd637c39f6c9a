#include "actors/stats/worker_report.hpp"

#include "actors/stats/json_fields.hpp"

#include <algorithm>

namespace ropewalk {

// Only what happened, by name.
static void put(json_writer& into, const run_end_counts& counts) {
  into.begin('{');
  for (std::size_t how = 0; how < counts.size(); ++how)
    if (counts[how] > 0) into.key(run_end_names[how]).number(counts[how]);
  into.end('}');
}

static void put(json_writer& into, const worker_service_report& one) {
  into.begin('{');
  put_fields(into, one.state);
  put_fields(into, one.runs);
  into.end('}');
}

void worker_report::add(const worker_report& other) {
  stats::add_fields(node, other.node);
  for (const auto& theirs : other.services) {
    const auto same = std::find_if(services.begin(), services.end(), [&](const auto& mine) {
      return mine.state.name == theirs.state.name;
    });
    if (same == services.end()) {
      services.push_back(theirs);
      continue;
    }
    stats::add_fields(same->state, theirs.state);
    stats::add_fields(same->runs, theirs.runs);
  }
}

std::string worker_report::why_not_ready(const std::string& broker) const {
  if (node.draining) return "draining";
  if (node.shards == 0 || node.shards_joined == 0)
    return "it is no member of the broker at " + broker;
  if (node.shards_joined < node.shards)
    return "it is a member of " + std::to_string(node.shards_joined) + " of the " +
           std::to_string(node.shards) + " shards of the broker at " + broker;
  std::string names;
  for (const auto& one : services)
    if (one.state.slots_ready == 0) names += (names.empty() ? "" : ", ") + one.state.name;
  return names.empty() ? names : "no slot is ready of " + names;
}

std::string worker_report::json() const {
  json_writer out;
  out.begin('{');
  put_fields(out, node);
  put(out.key("process"), process);
  put_list(out, "services", services);
  put_list(out, "certificates", certificates);
  out.end('}');
  return out.take();
}

} // namespace ropewalk
