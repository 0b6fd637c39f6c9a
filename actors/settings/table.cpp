#include "actors/settings/table.hpp"

#include <algorithm>

namespace ropewalk {

static_assert(std::all_of(all_settings.begin(), all_settings.end(),
                          [](const setting& one) {
                            return std::count_if(all_settings.begin(), all_settings.end(),
                                                 [&](const setting& other) {
                                                   return other.name() == one.name();
                                                 }) == 1;
                          }),
              "each setting has a name of its own");

broker_tuning share_of(const broker_tuning& process) {
  auto result = process;
  for (const auto& s : all_settings)
    if (s.is_of<broker_tuning>()) s.set(result, s.share_of(s.get(process), process.shards));
  return result;
}

std::vector<std::string> arguments_for(const node_tuning& settings) {
  std::vector<std::string> result;
  for (const auto& s : all_settings) {
    if (!s.is_of<node_tuning>()) continue;
    result.push_back("--" + std::string{s.name()});
    result.push_back(std::to_string(s.get(settings)));
  }
  return result;
}

} // namespace ropewalk
