#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ropewalk {

/// The end of what a program said, for people: at most `max_bytes` of valid UTF-8, beginning with a
/// whole character. What is no UTF-8 is U+FFFD, one for each sequence that breaks off (as Unicode
/// recommends in its chapter 3).
std::string readable_end(std::string_view said, std::size_t max_bytes);

} // namespace ropewalk
