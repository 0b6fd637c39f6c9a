#include "apps/ropewalk/display_text.hpp"

#include "net/protocol/readable.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cwchar>
#include <iomanip>
#include <sstream>

namespace ropewalk {

namespace {

// More than any terminal is wide.
constexpr std::size_t max_text_bytes = 1024;

struct character {
  std::string_view bytes; // of valid UTF-8
  std::size_t columns;
};

std::size_t bytes_of_character(char first) {
  const auto c = static_cast<unsigned char>(first);
  if (c < 0x80) return 1;
  if (c < 0xE0) return 2;
  return c < 0xF0 ? 3 : 4;
}

wchar_t code_point(std::string_view bytes) {
  constexpr std::array<unsigned, 5> masks{0, 0x7F, 0x1F, 0x0F, 0x07};
  auto result = static_cast<unsigned char>(bytes[0]) & masks[bytes.size()];
  for (const char c : bytes.substr(1)) result = result << 6 | (static_cast<unsigned>(c) & 0x3F);
  return static_cast<wchar_t>(result);
}

// Calls `f` with each character as it is to be shown.
template <class F>
void for_each_character(std::string_view text, F&& f) {
  while (!text.empty()) {
    const auto bytes = text.substr(0, bytes_of_character(text[0]));
    const int columns = ::wcwidth(code_point(bytes));
    f(columns < 0 ? character{"?", 1} : character{bytes, static_cast<std::size_t>(columns)});
    text.remove_prefix(bytes.size());
  }
}

std::string three_digits(double value) {
  std::ostringstream out;
  out << std::setprecision(3) << value;
  return out.str();
}

std::string scaled(double value, double step, std::string_view units) {
  if (value < 0.005) return "0";
  std::size_t unit = 0;
  // What would be shown as 1e+03 belongs to the next unit already.
  while (unit < units.size() && value >= (unit == 0 ? 9999.5 : 999.5)) {
    value /= step;
    ++unit;
  }
  auto text = value >= 999.5 ? std::to_string(std::llround(value)) : three_digits(value);
  if (unit > 0) text += units[unit - 1];
  return text;
}

} // namespace

std::string short_time(double seconds) {
  if (seconds <= 0) return "-";
  if (seconds < 1e-3) return three_digits(seconds * 1e6) + "us";
  if (seconds < 1) return three_digits(seconds * 1e3) + "ms";
  return three_digits(seconds) + "s";
}

std::string short_age(double seconds) {
  const auto all = static_cast<unsigned long long>(std::max(seconds, 0.0));
  const auto text = [](unsigned long long number, char unit) {
    return number == 0 ? std::string{} : std::to_string(number) + unit;
  };
  if (all < 60) return std::to_string(all) + "s";
  if (all < 3600) return text(all / 60, 'm');
  if (all < 86'400) return text(all / 3600, 'h') + text(all % 3600 / 60, 'm');
  return text(all / 86'400, 'd') + text(all % 86'400 / 3600, 'h');
}

std::string short_number(double value) {
  return scaled(value, 1000, "kMGT");
}

std::string short_bytes(double bytes) {
  return scaled(bytes, 1024, "KMGT");
}

std::string fit(std::string_view text, std::size_t columns, align where) {
  const auto shown = one_line(text, max_text_bytes);
  const auto width = display_width(shown);
  const bool cut = width > columns;
  const auto room = cut && columns > 0 ? columns - 1 : columns;
  std::string result;
  std::size_t used = 0;
  bool full = false;
  for_each_character(shown, [&](const character& one) {
    full = full || used + one.columns > room;
    if (full) return;
    result += one.bytes;
    used += one.columns;
  });
  if (cut && columns > 0) {
    result += '+';
    ++used;
  }
  const std::string blanks(columns - std::min(columns, used), ' ');
  return where == align::left ? result + blanks : blanks + result;
}

std::size_t display_width(std::string_view text) {
  std::size_t result = 0;
  for_each_character(one_line(text, max_text_bytes),
                     [&](const character& one) { result += one.columns; });
  return result;
}

} // namespace ropewalk
