#include "actors/stats/broker_report.hpp"

#include "actors/stats/json_fields.hpp"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace ropewalk {

static void put(json_writer& into, const service_report& one) {
  into.begin('{');
  put_fields(into, one.state);
  put_fields(into, one.counts);
  put(into.key("rates"), one.rates);
  into.end('}');
}

namespace {

void put_budget(json_writer& into, std::string_view name, std::uint64_t used, std::uint64_t max) {
  into.key(name).begin('{');
  into.key("used_bytes").number(used);
  into.key("max_bytes").number(max);
  into.end('}');
}

bool same_node(const node_report& a, const node_report& b) {
  return a.gateway == b.gateway && a.pid == b.pid && a.name == b.name && a.address == b.address;
}

// Lets `again` name those anew that share their label with a neighbour.
template <class Again>
void tell_apart(std::vector<node_report>& nodes, Again&& again) {
  for (auto first = nodes.begin(); first != nodes.end();) {
    const auto label = first->label;
    const auto last =
        std::find_if(first, nodes.end(), [&](const node_report& n) { return n.label != label; });
    for (auto n = first; last - first > 1 && n != last; ++n)
      again(*n, static_cast<std::size_t>(n - first));
    first = last;
  }
}

} // namespace

void broker_report::add(const broker_report& other) {
  stats::add_fields(requests, other.requests);
  stats::add_fields(front, other.front);
  for (const auto& theirs : other.nodes) {
    const auto same = std::find_if(nodes.begin(), nodes.end(),
                                   [&](const node_report& n) { return same_node(n, theirs); });
    if (same == nodes.end())
      nodes.push_back(theirs);
    else
      stats::add_fields(*same, theirs);
  }
  stats::add_fields(process, other.process);
  std::unordered_map<std::string_view, std::size_t> known;
  services.reserve(services.size() + other.services.size()); // the names stay where they are
  for (std::size_t i = 0; i < services.size(); ++i) known.emplace(services[i].state.name, i);
  for (const auto& theirs : other.services) {
    if (const auto found = known.find(theirs.state.name); found != known.end())
      services[found->second].add(theirs);
    else
      services.push_back(theirs);
  }
  clients.insert(clients.end(), other.clients.begin(), other.clients.end());
  std::stable_sort(clients.begin(), clients.end(), holds_more<client_report>);
  clients.resize(std::min(clients.size(), max_listed_clients));
  shards.insert(shards.end(), other.shards.begin(), other.shards.end());
  std::sort(shards.begin(), shards.end(),
            [](const shard_report& a, const shard_report& b) { return a.number < b.number; });
}

rates broker_report::rates() const {
  ropewalk::rates result;
  for (const auto& one : services) stats::add_fields(result, one.rates);
  return result;
}

std::vector<node_report> broker_report::labelled_nodes() const {
  const auto by_label = [](const node_report& a, const node_report& b) {
    return a.label < b.label;
  };
  auto result = nodes;
  for (auto& n : result) n.label = n.name;
  std::stable_sort(result.begin(), result.end(), by_label);
  tell_apart(result, [](node_report& n, std::size_t) {
    n.label += "@" + n.address + ":" + std::to_string(n.pid);
  });
  std::stable_sort(result.begin(), result.end(), by_label);
  tell_apart(result, [](node_report& n, std::size_t place) {
    if (place > 0) n.label += "#" + std::to_string(place + 1);
  });
  return result;
}

std::string broker_report::json() const {
  json_writer out;
  out.begin('{');
  put_fields(out, requests);
  put_fields(out, front);
  put(out.key("process"), process);
  put(out.key("rates"), rates());
  out.key("memory").begin('{');
  put_budget(out, "requests", requests.held_bytes + front.incoming_bytes, front.request_memory);
  put_budget(out, "answers", front.unread_bytes, front.answer_memory);
  out.end('}');
  put_list(out, "nodes", labelled_nodes());
  put_list(out, "services", services);
  put_list(out, "clients", clients);
  out.key("more_clients").number(front.connections - std::min(front.connections, clients.size()));
  put_list(out, "shards", shards);
  put_list(out, "certificates", certificates);
  out.end('}');
  return out.take();
}

} // namespace ropewalk
