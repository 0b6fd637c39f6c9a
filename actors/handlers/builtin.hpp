#pragma once

#include "actors/handlers/handler.hpp"

namespace ropewalk {

/// echo: the message. upper: the message in capitals (ASCII). sha256: its SHA-256 as 64 hexadecimal
/// digits. sleep: sleeps as many milliseconds as the message says, replies with the message. fail:
/// FAILED with the message. crash: throws, so that its slot dies; for the message "process" the
/// whole node dies by a signal. Throws bad_handler.
std::unique_ptr<handler> make_builtin(const std::string& name);

/// All of them, for people.
std::string builtin_names();

} // namespace ropewalk
