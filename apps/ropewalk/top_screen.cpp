#include "apps/ropewalk/top_screen.hpp"

#include <clocale>
#include <cstdlib>
#include <string>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

#define NCURSES_NOMACROS // its names are names of the standard library, too
#include <curses.h>

namespace ropewalk {

namespace {

constexpr short yellow_on_usual = 1;

bool wants_colour() {
  const char* const no = std::getenv("NO_COLOR"); // no-color.org: set, and not empty
  return ::has_colors() && (!no || *no == '\0');
}

std::optional<top_key> key_of(int code) {
  using named = top_key::named;
  static constexpr std::pair<int, named> names[] = {
      {KEY_UP, named::up},           {KEY_DOWN, named::down},   {KEY_PPAGE, named::page_up},
      {KEY_NPAGE, named::page_down}, {KEY_HOME, named::home},   {KEY_END, named::end},
      {KEY_LEFT, named::left},       {KEY_RIGHT, named::right}, {KEY_ENTER, named::enter},
      {'\r', named::enter},          {'\n', named::enter},      {27, named::escape},
      {127, named::backspace},       {'\b', named::backspace},  {KEY_BACKSPACE, named::backspace}};
  for (const auto& [number, name] : names)
    if (code == number) return top_key{0, name};
  if (code > 0 && code < 256) return top_key{static_cast<char>(code)};
  return std::nullopt;
}

} // namespace

top_screen::top_screen() {
  std::setlocale(LC_CTYPE, ""); // what characters there are
  ::initscr();
  ::cbreak();
  ::noecho();
  ::nonl();
  ::keypad(stdscr, true);
  ::nodelay(stdscr, true);
  ::set_escdelay(50); // Escape is a key of its own; what begins with it comes at once
  ::curs_set(0);
  if (!wants_colour()) return;
  ::start_color();
  ::use_default_colors();
  colour_ = ::init_pair(yellow_on_usual, COLOR_YELLOW, -1) == OK;
}

top_screen::~top_screen() {
  ::endwin();
}

top_screen::size top_screen::dimensions() const {
  return {static_cast<std::size_t>(getmaxx(stdscr)), static_cast<std::size_t>(getmaxy(stdscr))};
}

void top_screen::resize() {
  winsize now{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &now) == 0 && now.ws_row > 0 && now.ws_col > 0)
    ::resizeterm(now.ws_row, now.ws_col);
}

void top_screen::draw(const std::vector<top_line>& lines) {
  ::erase();
  int row = 0;
  for (const auto& line : lines) {
    attr_t as = A_NORMAL;
    if (line.as == top_line::style::heading) as = A_REVERSE;
    if (line.as == top_line::style::bold) as = A_BOLD;
    if (line.as == top_line::style::alarm)
      as = A_BOLD | (colour_ ? COLOR_PAIR(yellow_on_usual) : A_NORMAL);
    ::attrset(static_cast<int>(as));
    ::mvaddstr(row++, 0, line.text.c_str());
  }
  ::attrset(A_NORMAL);
  ::refresh();
}

std::optional<top_key> top_screen::key() {
  for (int code = ::getch(); code != ERR; code = ::getch())
    if (auto key = key_of(code)) return key;
  return std::nullopt;
}

} // namespace ropewalk
