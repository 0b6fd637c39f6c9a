#include "actors/admin/page_events.hpp"

#include "actors/settings/setting_text.hpp"
#include "actors/settings/table.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>

namespace ropewalk {

namespace {

std::string event(std::string_view name, std::string_view json) {
  std::string result = "event: ";
  result.append(name).append("\ndata: ").append(json).append("\n\n");
  return result;
}

// What is not UTF-8 in a name must not stop an event.
std::string text_of(const nlohmann::json& what) {
  return what.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Microseconds are fine enough for a chart.
double rounded(double seconds) {
  return std::round(seconds * 1e6) / 1e6;
}

auto pressure(const service_report& of) {
  return std::tuple{of.state.oldest_waiting_seconds, of.state.waiting, of.state.in_flight,
                    of.state.answered};
}
auto pressure(const node_report& of) {
  return std::tuple{of.in_flight, of.answered};
}

// The `max` that have most to do.
template <class T>
std::vector<T> busiest(const std::vector<T>& all, std::size_t max) {
  if (all.size() <= max) return all;
  std::vector<const T*> sorted;
  for (const auto& one : all) sorted.push_back(&one);
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(max), sorted.end(),
                   [](const T* a, const T* b) { return pressure(*a) > pressure(*b); });
  std::vector<T> result;
  for (std::size_t i = 0; i < max; ++i) result.push_back(*sorted[i]);
  return result;
}

} // namespace

std::string hello_event(std::string_view who, bool may_act, const broker_tuning& settings) {
  nlohmann::json result{{"shards", settings.shards}, {"settings", nlohmann::json::array()}};
  result["who"] = who;
  result["may_act"] = may_act;
  for (const auto& s : all_settings)
    if (s.is_of<broker_tuning>())
      result["settings"].push_back({{"option", "--" + std::string{s.name()}},
                                    {"value", value_text(s, s.get(settings))},
                                    {"default", value_text(s, s.default_value())},
                                    {"why", s.reason()}});
  return event("hello", text_of(result));
}

std::string points_event(const std::vector<load_point>& points,
                         load_history::clock::time_point now) {
  auto list = nlohmann::json::array();
  for (const auto& p : points) {
    const auto age = std::chrono::duration<double>(now - p.at).count();
    list.push_back({std::round(age * 10) / 10, rounded(p.answered_per_second),
                    rounded(p.errors_per_second), p.waiting, p.in_flight, rounded(p.p50_seconds),
                    rounded(p.p90_seconds), rounded(p.p99_seconds)});
  }
  return event("points", text_of({{"points", std::move(list)}}));
}

std::string status_event(const broker_report& all) {
  if (all.services.size() <= max_shown_services && all.nodes.size() <= max_shown_nodes &&
      all.clients.size() <= max_shown_clients)
    return event("status", all.json());
  auto shown = all;
  shown.services = busiest(all.services, max_shown_services);
  shown.nodes = busiest(all.nodes, max_shown_nodes);
  shown.clients.resize(std::min(all.clients.size(), max_shown_clients)); // they come in that order
  const auto last_second = all.rates().over_1s; // `rates` are of those that are shown
  auto json = shown.json();
  json.pop_back();
  json += ",\"services_left_out\":" + std::to_string(all.services.size() - shown.services.size()) +
          ",\"nodes_left_out\":" + std::to_string(all.nodes.size() - shown.nodes.size()) +
          ",\"all_rates\":" +
          text_of({{"1s", {{"answered", last_second.answered}, {"errors", last_second.errors}}}}) +
          "}";
  return event("status", json);
}

} // namespace ropewalk
