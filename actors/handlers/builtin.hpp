#pragma once

#include "actors/handlers/handler.hpp"

#include <string>

namespace ropewalk {

/// echo: the message. upper: the message in capitals (ASCII). sha256: its SHA-256 as 64 hexadecimal
/// digits. sleep: sleeps as many milliseconds as the message says, replies with the message. fail:
/// FAILED with the message. crash: throws, so that its slot dies; for the message "process" the
/// whole node dies by a signal.
result<handler_maker> parse_builtin(const std::string& name);

/// How to ask for one, with the names of all.
std::string builtin_usage();

} // namespace ropewalk
