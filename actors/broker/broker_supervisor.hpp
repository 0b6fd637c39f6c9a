#pragma once

#include "actors/broker/settings.hpp"
#include "actors/messages.hpp"
#include "net/tls/reloadable_tls.hpp"

#include <functional>
#include <memory>

namespace ropewalk {

/// What a broker is made of; the tests have parts of their own.
struct broker_dependencies {
  caf::actor transport; ///< answers (publish_atom, ...) as CAF's middleman actor does
  std::function<caf::actor(caf::event_based_actor* supervisor, const broker_settings&)> start_front;
  std::shared_ptr<reloadable_tls> cluster_tls; ///< to be read again on (reload); null: nothing is
};

/// The parts of a real broker.
broker_dependencies default_broker_dependencies(caf::actor transport);

/// The top of a broker process, or of one of its shards. Starts the front, then the cluster, then
/// opens the cluster's door. A front that falls is started again (restart_policy); when that
/// happens too often, or when the cluster falls, it gives up: the process ends with an error, and
/// docker, systemd or whoever started it decides. (drain) ends it in good order.
struct broker_supervisor_state {
  broker_settings settings;
  broker_dependencies dependencies;
  restart_policy policy{{}};
  caf::actor front;
  caf::actor cluster;
  caf::actor acceptor;            ///< of nodes that join; ends when draining begins
  std::uint16_t cluster_port = 0; ///< 0: it is not open
  bool ready = false;
  bool draining = false;
  const char* name = "broker_supervisor";
};

caf::behavior broker_supervisor(caf::stateful_actor<broker_supervisor_state>* self,
                                broker_settings settings, broker_dependencies dependencies);

} // namespace ropewalk
