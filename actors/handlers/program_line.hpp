#pragma once

#include "actors/supervise/spawner_wire.hpp"
#include "net/protocol/result.hpp"

#include <string>
#include <vector>

namespace ropewalk {

/// The program of a handler such as `cmd:PROGRAM ARG...`: `line` is what stands behind the colon,
/// `kind` what stands before it. The program is found as execvp would find it, and has this
/// process's environment but for what is Ropewalk's own in it (ROPEWALK_...). The failure says what
/// is wrong with the line and what would do.
result<program> parse_program(const std::string& kind, const std::string& line);

/// This process's environment but for what is Ropewalk's own in it, NAME=VALUE each.
std::vector<std::string> own_environment();

/// Where it runs, as whom and how nicely, and NAME=VALUE in place of what it would find under these
/// names. As another user it finds that one's HOME, USER and LOGNAME.
void set_surroundings(program& what, const surroundings& around);

} // namespace ropewalk
