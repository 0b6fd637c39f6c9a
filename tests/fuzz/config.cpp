// The config file: whatever stands in it, it is read or refused, and no setting is left outside its
// bounds.
#include "apps/ropewalk/options.hpp"

#include <cstdint>
#include <cstdlib>
#include <sstream>

using namespace ropewalk;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  CLI::App app;
  app.set_config("--config", "", "");
  auto* broker = app.add_subcommand("broker");
  broker->configurable();
  broker_tuning settings;
  add_settings(*broker, settings);
  std::istringstream text{std::string{reinterpret_cast<const char*>(data), size}};
  try {
    app.parse_from_stream(text);
  } catch (const CLI::Error&) {
    return 0;
  }
  for (const auto& s : all_settings)
    if (s.is_of<broker_tuning>() && (s.get(settings) < s.min() || s.get(settings) > s.max()))
      std::abort();
  return 0;
}
