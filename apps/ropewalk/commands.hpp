#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <string>

/// One function a subcommand: it adds its options to the program and returns what is to be done
/// when it was asked for. That returns the exit status.
namespace ropewalk {

using command_action = std::function<int()>;

command_action add_broker(CLI::App& app);
command_action add_worker(CLI::App& app);
command_action add_send(CLI::App& app);
command_action add_bench(CLI::App& app);
command_action add_status(CLI::App& app);
command_action add_limits(CLI::App& app);
command_action add_certs(CLI::App& app);
command_action add_token(CLI::App& app);

/// Adds all of them, and --config to each; `config` is taken out of the words before they are parsed
/// (with_config), and must live until then.
std::map<std::string, command_action> add_commands(CLI::App& app, std::string& config);

} // namespace ropewalk
