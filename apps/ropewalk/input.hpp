#pragma once

#include "net/protocol/result.hpp"

#include <cstddef>
#include <string>

namespace ropewalk {

/// All of a file, or of stdin where `path` is empty. The failure says which file, and why; what is
/// over `max_bytes` is one, and no more than that is read of it.
result<std::string> read_input(const std::string& path, std::size_t max_bytes);

} // namespace ropewalk
