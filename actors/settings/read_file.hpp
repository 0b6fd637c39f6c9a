#pragma once

#include "net/protocol/result.hpp"

#include <cstddef>
#include <string>

namespace ropewalk {

/// All of a file that a person named. The failure says which one, and why: `unavailable` if it cannot
/// be read (a folder opens all the same; a disk fails in the middle), `bad_input` if it is over
/// `max_bytes`, of which no more is read.
result<std::string> read_file(const std::string& path, std::size_t max_bytes);

/// The same of a descriptor that stays open, up to its end; `name` is what the failure calls it.
result<std::string> read_descriptor(int from, const std::string& name, std::size_t max_bytes);

} // namespace ropewalk
