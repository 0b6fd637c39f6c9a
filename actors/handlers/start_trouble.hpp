#pragma once

#include "actors/supervise/spawner_wire.hpp"

#include <string>

namespace ropewalk {

/// Why a program could not be started, and what to do about it, as a sentence for whoever runs the
/// node. Looks at the program's file.
std::string explain(const start_failure& failure, const program& what);

} // namespace ropewalk
