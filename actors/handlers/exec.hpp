#pragma once

#include "actors/supervise/spawner_wire.hpp"
#include "net/protocol/result.hpp"

#include <string>

namespace ropewalk {

/// `exec:PROGRAM ARG...`: a program that stays up and takes one request after the other, or several
/// at a time, over a channel of its own (net/PROTOCOL.md, "Handlers that stay up").
result<program> parse_exec(const std::string& line);

std::string exec_usage();

} // namespace ropewalk
