#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// Numbers and names as a table in a terminal has them. Pure.
namespace ropewalk {

/// `12us`, `3.4ms`, `50.6ms`, `1.25s`; `-`: there is none.
std::string short_time(double seconds);

/// `45s`, `12m`, `3h12m`, `5d4h`.
std::string short_age(double seconds);

/// `0`, `0.25`, `12.3`, `950`, `12.3k`, `4.5M`: three digits, or four before the k.
std::string short_number(double value);

/// The same of bytes, by powers of 1024: `512`, `12.3K`, `45M`.
std::string short_bytes(double bytes);

enum class align : std::uint8_t { left, right };

/// Exactly `columns` of a terminal wide: with blanks, or cut, and then with a `+` at its end. What
/// strangers chose does no harm: a control character is a `?`, and so is what the locale (LC_CTYPE)
/// has no width for.
std::string fit(std::string_view text, std::size_t columns, align where = align::left);

/// How many columns the text takes.
std::size_t display_width(std::string_view text);

} // namespace ropewalk
