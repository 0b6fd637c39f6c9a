#include "actors/settings/service_options.hpp"
#include "actors/settings/setting_text.hpp"
#include "actors/settings/table.hpp"
#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/exit_status.hpp"

#include <iostream>
#include <memory>

namespace ropewalk {

namespace {

int written() {
  std::cout.flush();
  if (std::cout) return 0;
  std::cerr << "ropewalk limits: cannot write to stdout; is the disk full?\n";
  return exit_status::cannot_write;
}

} // namespace

command_action add_limits(CLI::App& app) {
  auto markdown = std::make_shared<bool>(false);
  app.add_flag("--markdown", *markdown, "as the table of the README");
  auto services = std::make_shared<bool>(false);
  app.add_flag("--services", *services, "those of a service (worker --set), as a table");
  return [markdown, services] {
    if (*services) {
      std::cout << service_options_table();
      return written();
    }
    if (*markdown)
      std::cout
          << "| option | default | range | a plain number is in | why |\n|---|---|---|---|---|\n";
    for (const auto& s : all_settings) {
      const auto value = value_text(s, s.default_value());
      const auto range = value_text(s, s.min()) + " to " + value_text(s, s.max());
      if (*markdown)
        std::cout << "| `--" << s.name() << "` | " << value << " | " << range << " | " << s.unit()
                  << " | " << s.reason() << " |\n";
      else
        std::cout << "--" << s.name() << " = " << value << " (" << range
                  << "; a plain number is in " << s.unit() << ")\n    " << s.reason() << "\n";
    }
    return written();
  };
}

} // namespace ropewalk
