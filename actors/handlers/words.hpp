#pragma once

#include "net/protocol/result.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

/// Splits a command line into words as a POSIX shell does: blanks separate, single quotes keep
/// everything, double quotes keep all but \\ \" \$ \`, a backslash keeps the next character.
/// Nothing is expanded: there is no shell. A quote or a backslash that nothing follows is a
/// failure.
result<std::vector<std::string>> split_words(std::string_view line);

} // namespace ropewalk
