#include "actors/settings/units.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <span>

namespace ropewalk {

namespace {

struct unit_name {
  std::string_view name;
  std::uint64_t factor;
};

// Both from the largest to the smallest.
constexpr std::array times{unit_name{"d", 86'400'000'000}, unit_name{"h", 3'600'000'000},
                           unit_name{"m", 60'000'000},     unit_name{"s", 1'000'000},
                           unit_name{"ms", 1000},          unit_name{"us", 1}};
constexpr std::array sizes{unit_name{"TiB", 1ull << 40},
                           unit_name{"TB", 1'000'000'000'000},
                           unit_name{"GiB", 1ull << 30},
                           unit_name{"GB", 1'000'000'000},
                           unit_name{"MiB", 1ull << 20},
                           unit_name{"MB", 1'000'000},
                           unit_name{"KiB", 1ull << 10},
                           unit_name{"kB", 1000},
                           unit_name{"B", 1}};

constexpr std::uint64_t max_number = INT64_MAX; // what microseconds can count

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// a * b + c; nothing if that is too much.
std::optional<std::uint64_t> sum_of(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  if (c > max_number || (b != 0 && a > (max_number - c) / b)) return std::nullopt;
  return a * b + c;
}

// Digits, and a fraction, of which nine digits count: so many billionths.
struct decimal {
  std::uint64_t whole = 0;
  std::uint64_t billionths = 0;
  bool has_fraction = false;
};

constexpr std::uint64_t billion = 1'000'000'000;

// Takes it from the front of `text`; nothing if there is none, or it is too large.
std::optional<decimal> take_decimal(std::string_view& text) {
  decimal result;
  std::size_t at = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) {
    const auto next = sum_of(result.whole, 10, static_cast<std::uint64_t>(text[at] - '0'));
    if (!next) return std::nullopt;
    result.whole = *next;
  }
  if (at == 0) return std::nullopt;
  if (at + 1 < text.size() && text[at] == '.' && is_digit(text[at + 1])) {
    result.has_fraction = true;
    std::uint64_t place = billion / 10;
    for (++at; at < text.size() && is_digit(text[at]); ++at, place /= 10)
      result.billionths += static_cast<std::uint64_t>(text[at] - '0') * place;
  }
  text.remove_prefix(at);
  return result;
}

// Rounded down; factors are below 2^41 and billionths below 2^30, so that their product is split.
std::optional<std::uint64_t> times_factor(const decimal& number, std::uint64_t factor) {
  const auto part =
      factor / billion * number.billionths + factor % billion * number.billionths / billion;
  return sum_of(number.whole, factor, part);
}

// The letters at the front of `text`, behind one blank if there is one.
std::string_view take_letters(std::string_view& text) {
  if (text.size() > 1 && text.front() == ' ' && !is_digit(text[1])) text.remove_prefix(1);
  const auto end =
      std::find_if(text.begin(), text.end(), [](char c) { return is_digit(c) || c == ' '; });
  const auto result = text.substr(0, static_cast<std::size_t>(end - text.begin()));
  text.remove_prefix(result.size());
  return result;
}

failure not_of_unit(std::string_view text, const char* what, const char* advice) {
  return {failure_kind::bad_input, "'" + std::string{text} + "' is no " + what, advice};
}

bool same_letters(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

// As few units as say it, the largest first.
std::string text_in(std::span<const unit_name> units, std::uint64_t number) {
  std::string result;
  for (const auto& u : units) {
    if (number < u.factor) continue;
    result.append(std::to_string(number / u.factor)).append(u.name);
    number %= u.factor;
  }
  return result;
}

} // namespace

result<microseconds> parse_duration(std::string_view text, microseconds plain) {
  const auto failed = [&] {
    return not_of_unit(text, "time",
                       plain.count() > 0
                           ? "write a number and its unit, such as 250ms, 5s, 2m, 1h or 1d"
                           : "it needs a unit, such as 250ms, 5s, 2m, 1h or 1d");
  };
  std::uint64_t total = 0;
  auto rest = text;
  std::size_t larger = 0; // units before this one have had their turn
  do {
    const auto number = take_decimal(rest);
    if (!number) return failed();
    const auto letters = take_letters(rest);
    auto factor = static_cast<std::uint64_t>(plain.count());
    if (!letters.empty()) {
      const auto* const found = std::find_if(times.begin() + larger, times.end(),
                                             [&](const unit_name& u) { return u.name == letters; });
      if (found == times.end()) return failed();
      factor = found->factor;
      larger = static_cast<std::size_t>(found - times.begin()) + 1;
    } else if (factor == 0 || !rest.empty() || larger > 0) {
      return failed();
    }
    const auto part = times_factor(*number, factor);
    const auto sum = part ? sum_of(total, 1, *part) : std::nullopt;
    if (!sum || (number->has_fraction && !rest.empty())) return failed();
    total = *sum;
  } while (!rest.empty());
  return microseconds{static_cast<std::int64_t>(total)};
}

result<std::chrono::milliseconds> parse_wait(std::string_view text) {
  constexpr std::chrono::milliseconds min{1};
  constexpr std::chrono::hours max{49 * 24}; // the protocol says 32 bits of milliseconds
  const auto time = parse_duration(text, std::chrono::seconds{1});
  if (!time) return time.why();
  if (*time < min || *time > max)
    return failure{failure_kind::bad_input,
                   std::string{text} + " is not between " + duration_text(min) + " and " +
                       duration_text(max),
                   {}};
  return std::chrono::ceil<std::chrono::milliseconds>(*time);
}

result<std::uint64_t> parse_size(std::string_view text) {
  const auto failed = [&] {
    return not_of_unit(text, "size",
                       "write bytes, or a number and its unit, such as 64KiB, 512MiB or 2MB");
  };
  auto rest = text;
  const auto number = take_decimal(rest);
  if (!number) return failed();
  const auto letters = take_letters(rest);
  const auto* const found = std::find_if(sizes.begin(), sizes.end(), [&](const unit_name& u) {
    return same_letters(u.name, letters.empty() ? "B" : letters);
  });
  if (found == sizes.end() || !rest.empty() || (number->has_fraction && found->factor == 1))
    return failed();
  const auto bytes = times_factor(*number, found->factor);
  if (!bytes) return failed();
  return *bytes;
}

std::string duration_text(microseconds time) {
  const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
  return count == 0 ? "0s" : text_in(times, count);
}

std::string size_text(std::uint64_t bytes) {
  if (bytes == 0) return "0B";
  const auto* const whole = std::find_if(sizes.begin(), sizes.end(),
                                         [&](const unit_name& u) { return bytes % u.factor == 0; });
  return std::to_string(bytes / whole->factor).append(whole->name);
}

} // namespace ropewalk
