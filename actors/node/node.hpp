#pragma once

#include "actors/messages.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/node/settings.hpp"
#include "net/sockets/shared_loop.hpp"

#include <functional>
#include <memory>

namespace ropewalk {

using run_queues = std::vector<std::shared_ptr<run_queue>>;

/// What a node is made of; the tests have parts of their own.
struct node_parts {
  caf::actor door; ///< answers (connect_atom, host, port) as CAF's middleman actor does
  std::function<caf::actor(caf::event_based_actor* node, const run_queues&)> start_gateway;
  std::function<caf::actor(caf::event_based_actor* node, std::uint16_t service,
                           const std::shared_ptr<run_queue>&, const caf::actor& gateway)>
      start_pool;
};

/// The parts of a real node. `loop` is its system's, which slots attend.
node_parts standard_node_parts(const node_settings& settings, caf::actor door, shared_loop& loop);

/// The top of a node process. Starts the gateway and a pool per service, joins its broker and,
/// whenever that goes away, joins again, for ever, with back-off. A pool that falls is started
/// again (its service is reported failing meanwhile); too often, and the node ends with an error:
/// its process exits, and a master, docker or systemd decides.
struct node_state {
  node_settings settings;
  node_parts parts;
  caf::actor gateway;
  caf::actor front; ///< null while there is no broker
  run_queues queues;
  std::vector<caf::actor> pools; ///< by service; held, or CAF would end them as unreachable
  restart_policy policy{{}};
  backoff patience{milliseconds{50}, milliseconds{1000}, 1};
  bool told_searching = false; ///< the log knows that there is no broker
  caf::actor cluster;          ///< whom it asked to join
  std::uint64_t join_round =
      0;                ///< tells the news of this attempt to join from that of earlier ones
  bool joining = false; ///< has asked to join: the broker may count on it already
  bool draining = false;
  const char* name = "node";
};

caf::behavior node(caf::stateful_actor<node_state>* self, node_settings settings, node_parts parts);

} // namespace ropewalk
