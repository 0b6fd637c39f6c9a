#include "actors/handlers/program_line.hpp"

#include "actors/handlers/words.hpp"

#include <filesystem>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

extern char** environ;

namespace ropewalk {

namespace {

bool is_program(const std::string& path) {
  struct stat file {};
  return ::access(path.c_str(), X_OK) == 0 && ::stat(path.c_str(), &file) == 0 &&
         S_ISREG(file.st_mode);
}

// As execvp would find it; empty if it would not.
std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return is_program(name) ? name : std::string{};
  const char* path = ::getenv("PATH");
  std::string_view rest = path ? path : "/usr/local/bin:/usr/bin:/bin";
  while (true) {
    const auto colon = rest.find(':');
    std::string candidate = std::string{rest.substr(0, colon)} + '/' + name;
    if (is_program(candidate)) return candidate;
    if (colon == std::string_view::npos) return {};
    rest.remove_prefix(colon + 1);
  }
}

} // namespace

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
  program what;
  what.path = find_program(words->front());
  if (what.path.empty())
    return failure{failure_kind::unavailable,
                   "cannot find the program '" + words->front() + "' of '" + kind + ":" + line +
                       "'",
                   "install it, or write its whole path"};
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

void set_surroundings(program& what, const std::string& folder,
                      const std::vector<std::string>& environment) {
  what.folder = folder;
  for (const auto& one : environment) {
    const auto name = one.substr(0, one.find('=') + 1);
    std::erase_if(what.environment, [&](const std::string& e) { return e.starts_with(name); });
    what.environment.push_back(one);
  }
}

} // namespace ropewalk
