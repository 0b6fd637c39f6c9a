#pragma once

#include <sys/resource.h>

namespace ropewalk {

/// What a process becomes that was just forked to start programs; it ends by itself. Two processes:
///
///     node                     many threads, much memory
///       keeper                 waits for the spawner's end; then ends what that has left
///         spawner              one thread: starts programs, signals them, reaps them
///           programs           each in a group of its own
///
/// Both are subreapers: whatever a program starts stays below them, however it detaches itself. The
/// spawner kills and reaps all of it when the node's end of `control` closes, which the kernel does
/// whatever the node died of, and when the keeper dies; only then it ends, and with it go the
/// sockets that it holds. Signals mean nothing to either, but for SIGKILL: of the spawner its
/// programs die by their parent-death signal, and the rest by the keeper.
///
/// `descriptors` is the limit that programs get; the spawner allows itself all that it may have.
/// All signals must be blocked.
[[noreturn]] void become_spawner(int control, const rlimit& descriptors);

} // namespace ropewalk
