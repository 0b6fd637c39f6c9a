#pragma once

#include "actors/messages.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/node/settings.hpp"

#include <caf/io/middleman_actor.hpp>
#include <map>
#include <memory>

namespace ropewalk {

/// The top of a node process. Starts the gateway and a pool per service, joins its broker and, whenever that goes away,
/// joins again, for ever, with back-off. A pool that falls is started again (its service is reported failing meanwhile);
/// too often, and the node ends with an error: its process exits, and a master, docker or systemd decides.
struct node_state {
  node_settings settings;
  caf::io::middleman_actor door;
  caf::actor gateway;
  caf::actor front; ///< null while there is no broker
  std::vector<std::shared_ptr<run_queue>> queues;
  std::vector<caf::actor> pools; ///< by service; held, or CAF would end them as unreachable
  restart_policy policy{{}};
  backoff patience{milliseconds{50}, milliseconds{1000}, 1};
  bool told_searching = false; ///< the log knows that there is no broker
  bool draining = false;
  const char* name = "node";
};

caf::behavior node(caf::stateful_actor<node_state>* self, node_settings settings, caf::io::middleman_actor door);

} // namespace ropewalk
