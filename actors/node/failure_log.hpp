#pragma once

#include "actors/log/log_rate_limiter.hpp"
#include "actors/node/run_queue.hpp"

#include <memory>
#include <string>

namespace ropewalk {

/// Logs what comes to a bad end in a service of this node, where it happens: FAILED, and what was
/// lost while it ran. `log` is one for all services of a node.
run_queue::when_failed log_failures_of(std::string service, std::string node,
                                       std::shared_ptr<shared_log_rate_limiter> log);

} // namespace ropewalk
