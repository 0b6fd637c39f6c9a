#include "apps/ropewalk/status_watch.hpp"

#include "apps/ropewalk/display_text.hpp"
#include "apps/ropewalk/status_table.hpp"

#include <array>
#include <cstdlib>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string_view>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utility>

namespace ropewalk {

namespace {

constexpr std::string_view to_the_top = "\x1b[H";
constexpr std::string_view clear_rest_of_line = "\x1b[K";
constexpr std::string_view clear_below = "\x1b[J";

bool can_place_text() {
  const char* const terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) != 0 && terminal && *terminal != '\0' &&
         std::string_view{terminal} != "dumb";
}

winsize terminal_size() {
  winsize result{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &result) != 0 || result.ws_row == 0 ||
      result.ws_col == 0) {
    result.ws_row = 24;
    result.ws_col = 80;
  }
  return result;
}

std::string now_text() {
  const auto now = std::time(nullptr);
  std::tm local{};
  std::array<char, 32> text{};
  ::localtime_r(&now, &local);
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local)};
}

std::string rates_text(const nlohmann::json& status) {
  const auto rates =
      status.value("rates", nlohmann::json::object()).value("10s", nlohmann::json::object());
  const auto rate = [&](const char* name) { return short_number(rates.value(name, 0.0)) + "/s "; };
  return rate("submitted") + "in, " + rate("answered") + "out, " + rate("errors") + "errors (10 s)";
}

} // namespace

status_watch::status_watch(bool json) : json_(json), screen_(!json && can_place_text()) {}

void status_watch::show(const result<std::string>& said) {
  if (!screen_) say_state(said);
  if (!said) {
    if (!screen_) return;
    auto lines = last_;
    lines.insert(lines.begin(), now_text() + "  no broker, trying again: " + said.why().text());
    return show_screen(lines);
  }
  if (json_) {
    std::cout << *said << '\n';
    std::cout.flush();
    return;
  }
  const auto status = nlohmann::json::parse(*said);
  const auto heading = now_text() + "  " + rates_text(status);
  if (screen_) {
    last_ = status_table(status, terminal_size().ws_row - std::size_t{2});
    auto lines = last_;
    lines.insert(lines.begin(), heading);
    return show_screen(lines);
  }
  std::cout << heading << '\n';
  for (const auto& line : status_table(status)) std::cout << line << '\n';
  std::cout << '\n';
  std::cout.flush();
}

// The last line of the terminal stays empty: whatever is written there scrolls.
void status_watch::show_screen(const std::vector<std::string>& lines) const {
  const auto size = terminal_size();
  std::cout << to_the_top;
  for (std::size_t i = 0; i < std::min<std::size_t>(lines.size(), size.ws_row - 1u); ++i) {
    auto text = fit(lines[i], size.ws_col);
    text.erase(text.find_last_not_of(' ') + 1);
    std::cout << text << clear_rest_of_line << '\n';
  }
  std::cout << clear_below;
  std::cout.flush();
}

void status_watch::say_state(const result<std::string>& said) {
  if (std::exchange(gone_, !said) == gone_) return;
  if (gone_)
    std::cerr << "ropewalk status: no broker, trying again: " << said.why().text() << '\n';
  else
    std::cerr << "ropewalk status: the broker is back\n";
}

} // namespace ropewalk
