#pragma once

#include "net/protocol/result.hpp"

#include <chrono>
#include <string>

namespace ropewalk {

/// "250ms", "5s", "2m", or a number of seconds ("0.5"); from 1 ms to a day.
result<std::chrono::milliseconds> parse_duration(const std::string& text);

} // namespace ropewalk
