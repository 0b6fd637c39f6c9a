#pragma once

#include "actors/supervise/spawner_wire.hpp"

#include <string>

namespace ropewalk {

/// Why a program could not be started, and what to do about it, as a sentence for whoever runs the
/// node. Looks at the program's file.
std::string explain(const start_failure& failure, const program& what);

/// What would keep a file from being executed as a program, looked at without starting it: that it is
/// not there, a directory, or may not be executed, or that its first line (#!) names an interpreter,
/// or has `env` look for one, of which the same is true. Empty: nothing that can be seen.
std::string find_start_trouble(const std::string& path);

/// As execvp would find it; empty if it would not.
std::string find_program(const std::string& name);

} // namespace ropewalk
