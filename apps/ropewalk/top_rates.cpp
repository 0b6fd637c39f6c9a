#include "apps/ropewalk/top_rates.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

namespace ropewalk {

namespace {

constexpr std::pair<const char*, const char*> of_nodes[] = {{"answered", "answered_per_second"}};
constexpr std::pair<const char*, const char*> of_clients[] = {
    {"requests", "requests_per_second"},
    {"bytes_in", "bytes_in_per_second"},
    {"bytes_out", "bytes_out_per_second"}};

} // namespace

void top_rates::add_to(nlohmann::json& report, instant now) {
  const auto before = std::exchange(before_, {});
  const auto time = std::chrono::duration<double>(now - std::exchange(then_, now)).count();
  const auto uptime = report.value("uptime_seconds", 0.0);
  const bool comparable = time > 0 && uptime >= uptime_;
  uptime_ = uptime;
  const auto add = [&](nlohmann::json& to, const std::string& whose, const char* count,
                       const char* rate, double factor = 1) {
    const auto key = whose + '/' + count;
    const auto value = to.value(count, 0.0);
    if (const auto old = before.find(key); comparable && old != before.end())
      to[rate] = std::max(0.0, value - old->second) / time * factor;
    before_[key] = value;
  };
  // What an older broker does not say is not made up.
  if (const auto nodes = report.find("nodes"); nodes != report.end())
    for (auto& node : *nodes)
      for (const auto& [count, rate] : of_nodes)
        add(node, "node/" + node.value("label", "") + '/' + std::to_string(node.value("pid", 0u)),
            count, rate);
  if (const auto clients = report.find("clients"); clients != report.end())
    for (auto& client : *clients)
      for (const auto& [count, rate] : of_clients)
        add(client, "client/" + client.value("id", ""), count, rate);
  if (const auto process = report.find("process"); process != report.end())
    add(*process, "process", "cpu_seconds", "cpu_percent", 100);
}

} // namespace ropewalk
