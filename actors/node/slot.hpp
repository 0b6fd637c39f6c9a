#pragma once

#include "actors/handlers/handler.hpp"
#include "actors/messages.hpp"
#include "actors/node/run_queue.hpp"

#include <memory>
#include <string>

namespace ropewalk {

/// One slot: runs one message at a time, on a thread of its own, where handlers may block. Woken by
/// (run), it works until its service's queue is empty. What a handler throws ends it; its pool
/// starts another.
struct slot_state {
  std::unique_ptr<handler> code;
  const char* name = "slot";
};

caf::behavior slot(caf::stateful_actor<slot_state>* self, std::string service_name,
                   std::uint32_t number, std::shared_ptr<run_queue> queue,
                   std::unique_ptr<handler> code, caf::actor gateway, std::size_t max_reply_bytes);

} // namespace ropewalk
