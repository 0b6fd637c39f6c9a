#pragma once

#include "actors/messages.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/node/settings.hpp"

#include <map>
#include <memory>

namespace ropewalk {

/// Supervises one service's slots, one_for_one: a slot that falls is started again by itself after the policy's pause.
/// Too many falls in the policy's window end the pool with an error; its node decides what then.
struct pool_state {
  std::uint16_t service = 0;
  service_settings settings;
  std::size_t max_reply_bytes = 0;
  std::shared_ptr<run_queue> queue;
  caf::actor gateway;
  restart_policy policy{{}};
  std::vector<caf::actor> slots; ///< held, or CAF would end them as unreachable; null: fallen
  const char* name = "pool";
};

caf::behavior pool(caf::stateful_actor<pool_state>* self, std::uint16_t service, service_settings settings,
                   std::uint32_t slots, std::size_t max_reply_bytes, restart_policy::settings restarts,
                   std::shared_ptr<run_queue> queue, caf::actor gateway);

} // namespace ropewalk
