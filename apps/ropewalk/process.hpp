#pragma once

#include <caf/all.hpp>
#include <functional>
#include <string>
#include <vector>

namespace ropewalk {

/// CAF set up as a broker or node process wants it; its event loop is a shared_loop.
class process_config : public caf::actor_system_config {
public:
  process_config();
};

/// Sets glibc's allocator up for messages of up to 2 MB that come and go; call it first.
void tune_allocator();

/// Allows this process as many descriptors as it may have: shells give out 1,024.
void allow_descriptors();

/// Blocks SIGTERM and SIGINT for this thread and all that it will start; call it before there are
/// any.
void block_signals();

/// Waits until all of `tops` have ended in good order, or one has not; passes on the first SIGTERM
/// or SIGINT as (drain), and SIGHUP as (reload). A second SIGTERM ends the process at once. Returns
/// the process's exit status: 0 if all ended in good order.
int run_until_done(const std::vector<caf::actor>& tops);

/// Ends the process without waiting for threads that may be in the middle of a handler.
[[noreturn]] void leave_process(int status);

/// Logs of this process begin with its name.
void set_up_log(const std::string& who, const std::string& level);

} // namespace ropewalk
