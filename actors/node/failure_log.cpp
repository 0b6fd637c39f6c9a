#include "actors/node/failure_log.hpp"

#include <utility>

namespace ropewalk {

run_queue::when_failed log_failures_of(std::string service, std::string node,
                                       std::shared_ptr<shared_log_rate_limiter> log) {
  return [service = std::move(service), node = std::move(node),
          log = std::move(log)](const answer_item& answer, instant now) {
    const bool lost = answer.end == item_end::crashed || answer.end == item_end::suspect;
    if (!lost && (answer.end != item_end::answered || answer.code != error_code::failed)) return;
    log->warn(
        now, lost ? "what ran a message was lost" : "a message is answered FAILED",
        {{"service", service}, {"node", node}, {"reason", std::string{answer.payload.view()}}});
  };
}

} // namespace ropewalk
