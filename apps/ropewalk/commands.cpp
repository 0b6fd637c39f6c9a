#include "apps/ropewalk/commands.hpp"

namespace ropewalk {

std::map<std::string, command_action> add_commands(CLI::App& app, std::string& config) {
  const auto* help = "read options from this TOML file too; [broker] and [worker] are its tables, "
                     "what stands on the command line goes before it";
  app.add_option("--config", config, help);
  std::map<std::string, command_action> actions;
  auto add = [&](const std::string& name, const std::string& what,
                 command_action (*fill)(CLI::App&)) {
    auto* sub = app.add_subcommand(name, what);
    actions[name] = fill(*sub);
    sub->add_option("--config", config, help);
  };
  add("broker", "own the client sockets and hand messages to workers", add_broker);
  add("worker", "run handlers for a broker", add_worker);
  add("send", "send messages, print the replies", add_send);
  add("bench", "measure throughput and latency of a service", add_bench);
  add("status", "what a broker has: nodes, slots, messages in flight", add_status);
  add("certs", "make certificates for a broker, its workers and clients", add_certs);
  add("token", "make a token for a client", add_token);
  add("limits", "every limit with its unit, default and reason", add_limits);
  return actions;
}

} // namespace ropewalk
