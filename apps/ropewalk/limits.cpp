#include "net/protocol/limits.hpp"
#include "apps/ropewalk/commands.hpp"

#include <iostream>
#include <memory>

namespace ropewalk {

command_action add_limits(CLI::App& app) {
  auto markdown = std::make_shared<bool>(false);
  app.add_flag("--markdown", *markdown, "as the table of the README");
  return [markdown] {
    if (*markdown) std::cout << "| option | standard | unit | why |\n|---|---|---|---|\n";
    for (const auto& l : limits::all) {
      if (*markdown)
        std::cout << "| `--" << l.option << "` | " << l.standard << " | " << l.unit << " | "
                  << l.reason << " |\n";
      else
        std::cout << "--" << l.option << " = " << l.standard << " " << l.unit << " (" << l.least
                  << " to " << l.most << ")\n    " << l.reason << "\n";
    }
    return 0;
  };
}

} // namespace ropewalk
