#pragma once

/// How the subcommands that ask a broker end, for scripts; their help says it, too. 0: all is well.
namespace ropewalk::exit_status {

inline constexpr int answered_with_error = 1; ///< the broker, or a handler, said no
inline constexpr int cannot_start = 2;        ///< the command line, or what it names, is wrong
inline constexpr int no_broker = 3;           ///< none could be reached, or it did not answer
inline constexpr int cannot_write = 4;        ///< stdout takes no more
inline constexpr int too_few_nodes = 5;       ///< fewer than `status --expect-nodes`

} // namespace ropewalk::exit_status
