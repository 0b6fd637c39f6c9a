#pragma once

#include "net/protocol/result.hpp"

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

/// Files of options (--config): TOML, with a table for each subcommand, in which the options' names
/// are the keys.
namespace ropewalk {

/// What a file says to one subcommand, as words of its command line, and all that is wrong with the
/// file, in whichever table: a sentence each, which begins with FILE:LINE.
struct config_words {
  std::vector<std::string> words;
  std::vector<std::string> errors;
};

/// `text` is what stands in the file; `program` has the subcommands with their options. What
/// `given`, the command line, says itself is not taken from the file.
config_words read_config(std::string_view text, const std::string& file, CLI::App& program,
                         const std::string& subcommand, const std::vector<std::string>& given);

/// The command line with the words of its --config FILE, which may stand before and after the
/// subcommand. For `worker` it says besides which file that was (--config-file) and what else the
/// command line says (a --given each), so that it can be read again. The failure has all that is
/// wrong, a line each.
result<std::vector<std::string>> with_config(CLI::App& program, std::vector<std::string> words);

} // namespace ropewalk
