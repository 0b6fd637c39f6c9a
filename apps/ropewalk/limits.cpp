#include "actors/settings/table.hpp"
#include "apps/ropewalk/commands.hpp"

#include <iostream>
#include <memory>

namespace ropewalk {

command_action add_limits(CLI::App& app) {
  auto markdown = std::make_shared<bool>(false);
  app.add_flag("--markdown", *markdown, "as the table of the README");
  return [markdown] {
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
