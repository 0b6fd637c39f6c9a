#include "actors/stats/broker_report.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

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
  shards.insert(shards.end(), other.shards.begin(), other.shards.end());
  std::sort(shards.begin(), shards.end(),
            [](const shard_report& a, const shard_report& b) { return a.number < b.number; });
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
  result["nodes"] = list_of(labelled_nodes());
  result["shards"] = list_of(shards);
  result["certificates"] = list_of(certificates);
  // Names come from nodes: what is not UTF-8 in them must not stop the status.
  return result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace ropewalk
