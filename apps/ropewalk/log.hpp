#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace ropewalk {

/// How a command that runs until it is told otherwise logs.
struct log_options {
  std::string level = "info";
  std::string format = "text"; ///< or "json": one object a line
};

/// Adds --log-level and --log-format.
void add_log_options(CLI::App& app, log_options& options);

/// From now on this process logs to stderr under the name `who`, by a thread of its own: nothing
/// that logs waits for who reads it. Call it when all that is to be forked without an exec was.
void set_up_log(const std::string& who, const log_options& options);

/// Waits a moment (limits::log_end_ms) for what was logged to be written: the end of the log.
void finish_log();

} // namespace ropewalk
