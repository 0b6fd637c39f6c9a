#pragma once

#include "actors/node/settings.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ropewalk {

/// Slots that run programs take descriptors, of which a process may have so many (`ulimit -n`). Who
/// offers more slots than that could never use the rest.
///
/// Lowers the slots of services, and processes of programs that stay up, to what `descriptors` have
/// room for without the `reserved` ones: the largest first, and none below one. Returns a sentence
/// for each service that was lowered, with what to do.
std::vector<std::string> fit_slots(node_settings& settings, std::uint64_t descriptors,
                                   std::uint64_t reserved = 0);

} // namespace ropewalk
