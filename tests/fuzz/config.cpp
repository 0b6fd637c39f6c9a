// The config file: whatever stands in it, it is read or refused, and no setting is left outside its
// bounds.
#include "apps/ropewalk/config_file.hpp"
#include "apps/ropewalk/options.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

using namespace ropewalk;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  CLI::App app;
  auto* broker = app.add_subcommand("broker");
  broker_tuning settings;
  add_settings(*broker, settings);
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  auto said = read_config(text, "file", app, "broker", {});
  if (!said.errors.empty()) return 0;
  said.words.insert(said.words.begin(), "broker");
  std::reverse(said.words.begin(), said.words.end());
  try {
    app.parse(std::move(said.words));
  } catch (const CLI::Error&) {
    return 0;
  }
  for (const auto& s : all_settings)
    if (s.is_of<broker_tuning>() && (s.get(settings) < s.min() || s.get(settings) > s.max()))
      std::abort();
  return 0;
}
