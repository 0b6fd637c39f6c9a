#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/config_file.hpp"
#include "apps/ropewalk/process.hpp"

#include <algorithm>
#include <iostream>
#include <map>

int main(int argc, char** argv) {
  ropewalk::prepare_process();
  CLI::App app{
      "Ropewalk: messages in over TCP, through worker processes, and back.\n"
      "One broker owns the sockets; workers, on as many machines as you like, run your handlers.",
      "ropewalk"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "ropewalk " ROPEWALK_VERSION);
  std::string config; // taken out of the words before they are parsed (with_config)
  const auto* config_help = "read options from this TOML file too; [broker] and [worker] are its "
                            "tables, what stands on the command line goes before it";
  app.add_option("--config", config, config_help);
  app.get_formatter()->column_width(36);

  std::map<std::string, ropewalk::command_action> actions;
  auto add = [&](const std::string& name, const std::string& what,
                 ropewalk::command_action (*fill)(CLI::App&)) {
    auto* sub = app.add_subcommand(name, what);
    actions[name] = fill(*sub);
    sub->add_option("--config", config, config_help);
  };
  add("broker", "own the client sockets and hand messages to workers", ropewalk::add_broker);
  add("worker", "run handlers for a broker", ropewalk::add_worker);
  add("send", "send messages, print the replies", ropewalk::add_send);
  add("bench", "measure throughput and latency of a service", ropewalk::add_bench);
  add("status", "what a broker has: nodes, slots, messages in flight", ropewalk::add_status);
  add("certs", "make certificates for a broker, its workers and clients", ropewalk::add_certs);
  add("token", "make a token for a client", ropewalk::add_token);
  add("limits", "every limit with its unit, default and reason", ropewalk::add_limits);

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
