#pragma once

#include <caf/all.hpp>
#include <cstdint>
#include <functional>
#include <vector>

namespace ropewalk {

/// CAF set up as a broker or node process wants it; its event loop is a shared_loop.
class process_config : public caf::actor_system_config {
public:
  process_config();
};

/// What every command does before anything else, whatever its parent left it. Descriptors 0, 1 and
/// 2 that are closed are taken, so that no socket or pipe of ours gets such a number and with it
/// what is meant for people; reading and writing them goes on failing, as on closed ones. SIGPIPE
/// and SIGHUP end nothing: what cannot be written is an error, and what a client asked for is
/// answered although its terminal is gone.
void prepare_process();

/// How a command that comes to its end by itself takes signals: SIGTERM and SIGINT end it, also
/// where a parent has left them blocked.
void unblock_signals();

/// Sets glibc's allocator up for messages of up to 2 MB that come and go; call it first.
void tune_allocator();

/// Allows this process as many descriptors as it may have: shells give out 1,024.
void allow_descriptors();

/// How many that is.
std::uint64_t descriptor_limit();

/// How a command that runs until it is told otherwise takes signals, whatever its parent left it:
/// SIGTERM, SIGINT and SIGHUP are blocked, for this thread and all that it will start, and wait to
/// be read (run_until_done); SIGPIPE is ignored; children that end can be waited for. Call it
/// before anything else, so that a signal right after the start is a drain, too.
void take_signals();

/// Waits until all of `tops` have ended in good order, or one has not; passes on the first SIGTERM
/// or SIGINT as (drain), and SIGHUP as (reload). A second SIGTERM or SIGINT (stop_signals) ends the
/// process at once, unless it is under a master, which then decides. `master_fd` is where it writes
/// to its master, -1 if there is none; a master that is gone is a reason to drain. Returns the
/// process's exit status: 0 if all ended in good order.
int run_until_done(const std::vector<caf::actor>& tops, int master_fd = -1);

/// Ends the process without waiting for threads that may be in the middle of a handler, and for the
/// log's only a moment.
[[noreturn]] void leave_process(int status);

} // namespace ropewalk
