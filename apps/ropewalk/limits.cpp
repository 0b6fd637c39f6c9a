#include "actors/settings/service_options.hpp"
#include "actors/settings/table.hpp"
#include "apps/ropewalk/commands.hpp"

#include <iostream>
#include <memory>

namespace ropewalk {

command_action add_limits(CLI::App& app) {
  auto markdown = std::make_shared<bool>(false);
  app.add_flag("--markdown", *markdown, "as the table of the README");
  auto services = std::make_shared<bool>(false);
  app.add_flag("--services", *services, "those of a service (worker --set), as a table");
  return [markdown, services] {
    if (*services) {
      std::cout << service_options_table();
      return 0;
    }
    if (*markdown) std::cout << "| option | default | unit | why |\n|---|---|---|---|\n";
    for (const auto& s : all_settings) {
      if (*markdown)
        std::cout << "| `--" << s.name() << "` | " << s.default_value() << " | " << s.unit()
                  << " | " << s.reason() << " |\n";
      else
        std::cout << "--" << s.name() << " = " << s.default_value() << " " << s.unit() << " ("
                  << s.min() << " to " << s.max() << ")\n    " << s.reason() << "\n";
    }
    return 0;
  };
}

} // namespace ropewalk
