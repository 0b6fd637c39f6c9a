#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <vector>

/// One function a subcommand: it adds its options to the program and returns what is to be done
/// when it was asked for. That returns the exit status.
namespace ropewalk {

using command_action = std::function<int()>;

struct own_service;

command_action add_broker(CLI::App& app);
command_action add_worker(CLI::App& app);
/// Of a program that brings services of its own.
command_action add_worker(CLI::App& app, const std::vector<own_service>& own);
/// What a worker starts for a handler that is a server (unix:, tcp:): connects, and passes bytes on
/// between it and the descriptor that ROPEWALK_FD names, until either ends.
command_action add_relay(CLI::App& app);
command_action add_send(CLI::App& app);
command_action add_bench(CLI::App& app);
command_action add_status(CLI::App& app);
command_action add_explain(CLI::App& app);
command_action add_top(CLI::App& app);
command_action add_limits(CLI::App& app);
command_action add_certs(CLI::App& app);
command_action add_token(CLI::App& app);

} // namespace ropewalk
