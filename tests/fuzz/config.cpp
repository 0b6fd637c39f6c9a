// The config file: whatever stands in it, it is read or refused, and no limit is left outside its
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
  std::array<std::uint64_t, limits::all.size()> values{};
  for (std::size_t i = 0; i < values.size(); ++i) add_limit(*broker, limits::all[i], values[i]);
  std::istringstream text{std::string{reinterpret_cast<const char*>(data), size}};
  try {
    app.parse_from_stream(text);
  } catch (const CLI::Error&) {
    return 0;
  }
  for (std::size_t i = 0; i < values.size(); ++i)
    if (values[i] < limits::all[i].least || values[i] > limits::all[i].most) std::abort();
  return 0;
}
