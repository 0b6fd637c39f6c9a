#pragma once

#include "actors/broker/shard_group.hpp"
#include "actors/messages.hpp"

namespace ropewalk {

/// Where nodes join: the one actor of a broker that other processes can reach. It introduces a
/// node's gateway to the front, watches it, and tells the front when it is gone. A new front (the
/// old one fell) knows no nodes: they notice that theirs is gone and join again. The first shard's
/// tells nodes where the others are.
struct cluster_state {
  caf::actor front;
  std::shared_ptr<const shard_group> group;
  struct node {
    std::uint32_t number = 0; // with the present front
    caf::actor membership;
  };
  std::unordered_map<caf::actor_addr, node> nodes; // by gateway
  const char* name = "cluster";
};

caf::behavior cluster(caf::stateful_actor<cluster_state>* self, caf::actor front,
                      std::shared_ptr<const shard_group> group);

/// What is published at the cluster port in the cluster's place. It ends when the broker begins to
/// drain: by that, nodes that were let go know that this broker takes them no more, while those
/// that still work for it are watched as before.
caf::behavior join_acceptor(caf::event_based_actor* self, caf::actor cluster);

} // namespace ropewalk
