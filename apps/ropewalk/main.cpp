#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/config_file.hpp"
#include "apps/ropewalk/process.hpp"

#include <algorithm>
#include <iostream>

int main(int argc, char** argv) {
  ropewalk::prepare_process();
  CLI::App app{
      "Ropewalk: messages in over TCP, through worker processes, and back.\n"
      "One broker owns the sockets; workers, on as many machines as you like, run your handlers.",
      "ropewalk"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "ropewalk " ROPEWALK_VERSION);
  app.get_formatter()->column_width(36);
  std::string config;
  const auto actions = ropewalk::add_commands(app, config);

  try {
    auto words = ropewalk::with_config(app, {argv + std::min(argc, 1), argv + argc});
    if (!words) {
      std::cerr << words.why().text() << '\n';
      return 2;
    }
    std::reverse(words->begin(), words->end()); // as CLI11 takes them
    app.parse(*std::move(words));
    const auto name = app.get_subcommands().front()->get_name();
    // The others take signals as they want them: blocked without a gap, also if they are now.
    if (name != "broker" && name != "worker") ropewalk::unblock_signals();
    return actions.at(name)();
  } catch (const CLI::ParseError& error) {
    return app.exit(error, std::cout, std::cerr) == 0 ? 0 : 2;
  }
}
