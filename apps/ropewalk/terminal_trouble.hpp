#pragma once

#include "net/protocol/result.hpp"

#include <optional>

namespace ropewalk {

/// Why nothing can be placed on the screen: stdin or stdout is no terminal, or TERM names one that
/// cannot do that, or that nobody knows. Nothing: it can. Changes nothing of the terminal.
std::optional<failure> find_terminal_trouble();

} // namespace ropewalk
