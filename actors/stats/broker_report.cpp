#include "actors/stats/broker_report.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_map>

namespace ropewalk {

namespace {

template <class T>
const T& shown_as(const T& value) {
  return value;
}

// Only what happened, by name: most codes never come.
nlohmann::json shown_as(const error_counts& counts) {
  std::map<std::string, std::uint64_t> result; // not null, but {}, if there is none
  for (std::size_t code = 1; code < counts.size(); ++code)
    if (counts[code] > 0)
      result[std::string{name_of(static_cast<error_code>(code))}] = counts[code];
  return result;
}

// In a text the quantiles say more than the buckets, which are for who adds several up (/metrics).
nlohmann::json shown_as(const latency_histogram& times) {
  return {{"count", times.count()},
          {"sum_seconds", 1e-9 * static_cast<double>(times.sum_ns)},
          {"p50_seconds", times.quantile(0.5)},
          {"p90_seconds", times.quantile(0.9)},
          {"p99_seconds", times.quantile(0.99)},
          {"max_seconds", times.quantile(1)}};
}

template <class T>
void put(nlohmann::json& into, const T& numbers);

nlohmann::json shown_as(const event_rates& a_second) {
  nlohmann::json result;
  put(result, a_second);
  return result;
}

nlohmann::json shown_as(const rates& by_window) {
  nlohmann::json result;
  put(result, by_window);
  return result;
}

template <class T>
void put(nlohmann::json& into, const T& numbers) {
  stats::for_each_field<T>([&](const auto& f) {
    if (f.shown == stats::shown::yes) into[std::string{f.name}] = shown_as(numbers.*f.member);
  });
}

template <class T>
nlohmann::json list_of(const std::vector<T>& all) {
  auto result = nlohmann::json::array();
  for (const auto& one : all) put(result.emplace_back(), one);
  return result;
}

nlohmann::json list_of(const std::vector<service_report>& all) {
  auto result = nlohmann::json::array();
  for (const auto& one : all) {
    auto& entry = result.emplace_back();
    put(entry, one.state);
    put(entry, one.counts);
    entry["rates"] = shown_as(one.rates);
  }
  return result;
}

nlohmann::json budget(std::uint64_t used, std::uint64_t max) {
  return {{"used_bytes", used}, {"max_bytes", max}};
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
  nlohmann::json result;
  put(result, requests);
  put(result, front);
  put(result["process"], process);
  result["nodes"] = list_of(labelled_nodes());
  result["services"] = list_of(services);
  result["shards"] = list_of(shards);
  result["certificates"] = list_of(certificates);
  result["clients"] = list_of(clients);
  result["more_clients"] = front.connections - std::min(front.connections, clients.size());
  result["rates"] = shown_as(rates());
  result["memory"]["requests"] =
      budget(requests.held_bytes + front.incoming_bytes, front.request_memory);
  result["memory"]["answers"] = budget(front.unread_bytes, front.answer_memory);
  // Names come from nodes: what is not UTF-8 in them must not stop the status.
  return result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace ropewalk
