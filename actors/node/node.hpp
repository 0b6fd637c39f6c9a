#pragma once

#include "actors/messages.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/node/settings.hpp"
#include "net/cluster/shared_loop.hpp"

#include <functional>
#include <memory>

namespace ropewalk {

using run_queues = std::vector<std::shared_ptr<run_queue>>;

/// What a node is made of; the tests have parts of their own.
struct node_dependencies {
  /// Is notified (ready) when the node is a member for the first time, and (failing, service, why)
  /// of what did not start, as long as it is none; null: nobody.
  caf::actor owner;
  caf::actor transport; ///< answers (connect_atom, host, port) as CAF's middleman actor does
  std::shared_ptr<start_lease> lease; ///< of the queues; null: anything may be started
  std::function<caf::actor(caf::event_based_actor* node, const run_queues&)> start_gateway;
  std::function<caf::actor(caf::event_based_actor* node, std::uint16_t service,
                           const std::shared_ptr<run_queue>&, const caf::actor& gateway)>
      start_pool;
};

/// The parts of a real node. `loop` is its system's, which slots attend.
node_dependencies default_node_dependencies(const node_settings& settings, caf::actor transport,
                                            shared_loop& loop);

/// The top of a node process. Starts the gateway, a pool per service and a membership of its
/// broker; if the broker says that it has more shards than the one that was joined, a membership of
/// each of those. A pool that falls is started again (its service is reported failing meanwhile);
/// too often, and the node ends with an error: its process exits, and a master, docker or systemd
/// decides. (release): it drains, without an end to its time, as one whose place another has taken.
struct node_state {
  struct member { // of a shard
    caf::actor membership;
    std::uint16_t port = 0; ///< the shard's cluster port
    bool joined = false;    ///< at least once
    bool settled = false;   ///< is not going to join any more
  };

  node_settings settings;
  node_dependencies dependencies;
  caf::actor gateway;
  run_queues queues;
  std::vector<caf::actor> pools; ///< by service; held, or CAF would end them as unreachable
  std::vector<member> members;   ///< by shard; the first is the one whose port was named
  restart_policy policy{{}};
  std::uint32_t not_ready = 0; ///< services that it waits for before it joins (settings.succeeds)
  bool was_joined = false;
  bool replaced = false; ///< another has its place: the process goes on
  bool draining = false;
  bool drained = false;
  std::uint32_t stopping = 0; ///< pools of processes whose end is awaited
  const char* name = "node";
};

caf::behavior node(caf::stateful_actor<node_state>* self, node_settings settings,
                   node_dependencies dependencies);

} // namespace ropewalk
