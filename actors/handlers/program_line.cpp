#include "actors/handlers/program_line.hpp"

#include "actors/handlers/start_trouble.hpp"
#include "actors/handlers/words.hpp"

#include <filesystem>
#include <string_view>
#include <system_error>
#include <unistd.h>

extern char** environ;

namespace ropewalk {

result<program> parse_program(const std::string& kind, const std::string& line) {
  auto words = split_words(line);
  if (!words)
    return failure{failure_kind::bad_input,
                   "cannot split '" + kind + ":" + line + "' into words: " + words.why().what,
                   {}};
  if (words->empty())
    return failure{failure_kind::bad_input,
                   "'" + kind + ":' wants a program, such as " + kind + ":sha256sum",
                   {}};
  std::error_code ignored;
  program what;
  what.path = find_program(words->front());
  if (what.path.empty()) {
    const auto& name = words->front();
    const bool is_there = name.find('/') != std::string::npos &&
                          std::filesystem::exists(std::filesystem::status(name, ignored));
    return failure{failure_kind::unavailable,
                   "cannot find the program '" + name + "' of '" + kind + ":" + line + "'",
                   is_there ? find_start_trouble(name) : "install it, or write its whole path"};
  }
  // Its service may have it run in another folder.
  if (what.path.find('/') != std::string::npos)
    what.path = std::filesystem::absolute(what.path).string();
  what.arguments = *std::move(words);
  what.environment = own_environment();
  return what;
}

std::vector<std::string> own_environment() {
  std::vector<std::string> result;
  for (char** e = environ; *e; ++e)
    if (!std::string_view{*e}.starts_with("ROPEWALK_")) result.emplace_back(*e);
  return result;
}

void set_surroundings(program& what, const surroundings& around) {
  what.folder = around.folder;
  what.nice = around.nice;
  what.user = around.user;
  const auto set = [&](const std::string& one) {
    const auto name = one.substr(0, one.find('=') + 1);
    std::erase_if(what.environment, [&](const std::string& e) { return e.starts_with(name); });
    what.environment.push_back(one);
  };
  if (what.user) {
    set("HOME=" + what.user->home);
    set("USER=" + what.user->name);
    set("LOGNAME=" + what.user->name);
  }
  for (const auto& one : around.environment) set(one);
}

} // namespace ropewalk
