#include "apps/ropewalk/command_line.hpp"

#include "apps/ropewalk/config_file.hpp"
#include "apps/ropewalk/process.hpp"

#include <algorithm>
#include <iostream>

namespace ropewalk {

namespace {

constexpr const char* config_help =
    "read options from this TOML file too; [broker] and [worker] are its tables, what stands on "
    "the command line goes before it";

} // namespace

command_line::command_line(const std::string& about, const std::string& program)
    : app_(about, program) {
  prepare_process();
  app_.require_subcommand(1);
  app_.set_version_flag("--version", program + " " ROPEWALK_VERSION);
  app_.add_option("--config", config_, config_help);
  app_.get_formatter()->column_width(36);
}

void command_line::add(const std::string& name, const std::string& about,
                       const std::function<command_action(CLI::App&)>& fill) {
  auto* sub = app_.add_subcommand(name, about);
  actions_[name] = fill(*sub);
  sub->add_option("--config", config_, config_help);
}

int command_line::run(std::vector<std::string> given) {
  try {
    auto words = with_config(app_, std::move(given));
    if (!words) {
      std::cerr << words.why().text() << '\n';
      return 2;
    }
    std::reverse(words->begin(), words->end()); // as CLI11 takes them
    app_.parse(*std::move(words));
    const auto name = app_.get_subcommands().front()->get_name();
    // The others take signals as they want them: blocked without a gap, also if they are now.
    if (name != "broker" && name != "worker") unblock_signals();
    return actions_.at(name)();
  } catch (const CLI::ParseError& error) {
    return app_.exit(error, std::cout, std::cerr) == 0 ? 0 : 2;
  }
}

} // namespace ropewalk
