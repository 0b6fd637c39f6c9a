#pragma once

#include "actors/messages.hpp"
#include "actors/node/overdue_runs.hpp"
#include "actors/supervise/restart_policy.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ropewalk {

/// How a pool deals with runs that cannot be ended: those of somebody's code in the node's own
/// process.
struct hang_settings {
  milliseconds stop_timeout{0};
  /// When a slot began what it runs, if nobody wants that any more.
  std::function<std::optional<instant>(std::uint32_t number)> unwanted_run;
  /// The slot's actor has its place no longer, and gives nothing back when its run ends.
  std::function<void(std::uint32_t number)> take_place;
  /// The process is to be replaced, if there is somebody to do that.
  std::function<void(const std::string& why)> replace_process;
};

/// What a pool needs to know, and how it starts a slot: the tests have slots of their own.
struct pool_settings {
  std::uint16_t service = 0;
  std::uint32_t slots = 1;
  std::string name; ///< of the service, for the log
  restart_policy::settings restarts;
  std::function<caf::actor(caf::event_based_actor* pool, std::uint32_t number)>
      start_slot; ///< monitored by the pool
  /// What a slot that has fallen was running: a number that is the same whenever that message is
  /// started again. May be empty.
  std::function<std::optional<std::uint64_t>(std::uint32_t number)> message_in;
  std::optional<hang_settings> hangs; ///< none: its handlers end their runs by themselves
};

/// Supervises one service's slots, one_for_one: a slot that falls is started again by itself after
/// the policy's pause. Too many falls in the policy's window, those of one message counted once, end
/// the pool with an error; its node decides what then.
///
/// A slot whose run is overdue (hang_settings) is written off: it is offered no longer, and no other
/// thread is started in its place, since threads that hang would pile up. If its run ends after all,
/// a fresh slot takes the place.
struct pool_state {
  pool_settings settings;
  caf::actor gateway;
  restart_policy policy{{}};
  std::vector<caf::actor> slots;       ///< held, or CAF would end them as unreachable; null: fallen
  std::vector<caf::actor> written_off; ///< by slot, held likewise; null: it is not
  std::optional<overdue_runs> overdue;
  const char* name = "pool";
};

/// Tells `gateway` of every slot that comes (slot_up) and goes (slot_down).
caf::behavior pool(caf::stateful_actor<pool_state>* self, pool_settings settings,
                   caf::actor gateway);

} // namespace ropewalk
