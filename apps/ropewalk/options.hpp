#pragma once

#include "net/protocol/limits.hpp"
#include "net/tcp/endpoint.hpp"

#include <chrono>
#include <CLI/CLI.hpp>
#include <string>

namespace ropewalk {

/// Adds the option of a limit: its name, default, range and reason come from limits.hpp.
CLI::Option* add_limit(CLI::App& app, const limit& which, std::uint64_t& value);
CLI::Option* add_limit(CLI::App& app, const limit& which, std::chrono::milliseconds& value);

/// Accepts only HOST:PORT.
CLI::Validator is_endpoint();

/// "250ms", "5s", "2m", or a number of seconds ("0.5"). Throws CLI::ValidationError.
std::chrono::milliseconds parse_duration(const std::string& text);

/// Accepts only what parse_duration does.
CLI::Validator is_duration();

} // namespace ropewalk
