#pragma once

#include "apps/ropewalk/commands.hpp"

#include <map>
#include <string>
#include <vector>

namespace ropewalk {

/// A program with subcommands, each with options of its own, which a file (--config) may have as
/// well.
class command_line {
public:
  /// Call it before anything else: it prepares the process.
  command_line(const std::string& about, const std::string& program);

  /// `fill` adds the subcommand's options and returns what it does.
  void add(const std::string& name, const std::string& about,
           const std::function<command_action(CLI::App&)>& fill);

  /// Parses the words behind the program's name and does what they ask for. Returns the exit
  /// status: 2 if they make no sense.
  int run(std::vector<std::string> words);

private:
  CLI::App app_;
  std::string config_; // taken out of the words before they are parsed (with_config)
  std::map<std::string, command_action> actions_;
};

} // namespace ropewalk
