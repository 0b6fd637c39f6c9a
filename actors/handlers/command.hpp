#pragma once

#include "actors/handlers/handler.hpp"

#include <string>

namespace ropewalk {

/// A Unix program, run once a message, without a shell: the message is its stdin, its stdout the
/// reply. A non-zero exit is FAILED with the end of its stderr. Death by a signal is no answer: the
/// message is run again, as often as it may be, and then WORKER_LOST with the signal. It is
/// killed at the message's deadline (TIMEOUT), when nobody wants the answer any more, and when the
/// node dies. Its end is the run's, whatever became of its pipes, and what it has started ends with
/// it (spawner_process.hpp). What cannot be started is not_started. It finds ROPEWALK_SERVICE,
/// ROPEWALK_ATTEMPT and ROPEWALK_TIMEOUT_MS in its environment. A reply over the cap on messages is
/// TOO_LARGE. A failure for a line that cannot be split, or a program that cannot be found. A
/// process that makes one ignores SIGPIPE from then on (its programs do not): a program may close
/// its stdin early.
result<handler_maker> parse_command(const std::string& line);

/// How to ask for one.
std::string command_usage();

} // namespace ropewalk
