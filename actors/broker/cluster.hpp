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
  std::unordered_map<caf::actor_addr, std::uint32_t>
      nodes; // gateway -> number, with the present front
  const char* name = "cluster";
};

caf::behavior cluster(caf::stateful_actor<cluster_state>* self, caf::actor front,
                      std::shared_ptr<const shard_group> group);

} // namespace ropewalk
