#pragma once

#include <CLI/CLI.hpp>
#include <functional>

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

} // namespace ropewalk
