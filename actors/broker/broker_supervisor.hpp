#pragma once

#include "actors/broker/settings.hpp"
#include "actors/messages.hpp"

#include <caf/io/middleman_actor.hpp>

namespace ropewalk {

/// The top of a broker process. Starts the front, then the cluster, then opens the cluster's door. A front that falls is
/// started again (restart_policy); when that happens too often, or when the cluster falls, it gives up: the process
/// ends with an error, and docker, systemd or whoever started it decides. (drain) ends it in good order.
struct broker_supervisor_state {
  broker_settings settings;
  caf::io::middleman_actor door;
  restart_policy policy{{}};
  caf::actor front;
  caf::actor cluster;
  bool ready = false;
  bool draining = false;
  const char* name = "broker_supervisor";
};

caf::behavior broker_supervisor(caf::stateful_actor<broker_supervisor_state>* self, broker_settings settings,
                                caf::io::middleman_actor door);

} // namespace ropewalk
