#include "apps/ropewalk/terminal_trouble.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>
#include <unistd.h>

// A file of its own: the second of these makes macros of words such as `lines`.
#include <curses.h>
#include <term.h>

namespace ropewalk {

namespace {

failure cannot(std::string why) {
  return {failure_kind::bad_input, std::move(why),
          "say --once for one page, or --json, or `ropewalk status --watch`"};
}

} // namespace

std::optional<failure> find_terminal_trouble() {
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0)
    return cannot("this is no terminal");
  const char* const name = std::getenv("TERM");
  const std::string kind = name && *name != '\0' ? name : "not set";
  int error = 0;
  if (::setupterm(nullptr, STDOUT_FILENO, &error) != OK)
    return cannot("nothing is known of this terminal (TERM is " + kind + ")");
  const char* const place = ::tigetstr("cup");
  if (!place || reinterpret_cast<std::intptr_t>(place) == -1)
    return cannot("nothing can be placed on this terminal (TERM is " + kind + ")");
  return std::nullopt;
}

} // namespace ropewalk
