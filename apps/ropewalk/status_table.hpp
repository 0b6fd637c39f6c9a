#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace ropewalk {

/// What `ropewalk status` prints of a STATUS answer (net/STATUS.md), line by line: the services that
/// nodes offer or that something waits for, what is worst first, then the nodes. Of services twelve
/// at most, as a screen of 24 lines has room for; with `max_lines` (of a terminal) fewer if need be,
/// of nodes as well, and how many more there are is said.
std::vector<std::string> status_table(const nlohmann::json& status,
                                      std::optional<std::size_t> max_lines = std::nullopt);

} // namespace ropewalk
