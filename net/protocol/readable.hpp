#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ropewalk {

/// The end of what a program said, for people: at most `max_bytes` of valid UTF-8, beginning with a
/// whole character. What is no UTF-8 is U+FFFD, one for each sequence that breaks off (as Unicode
/// recommends in its chapter 3).
std::string readable_end(std::string_view said, std::size_t max_bytes);

/// What strangers said, as part of one line of a log: its first `max_bytes`, "..." where more
/// follows, as valid UTF-8, and with a '?' for each control character (C0, DEL and C1, which some
/// terminals obey).
std::string one_line(std::string_view said, std::size_t max_bytes);

} // namespace ropewalk
