#pragma once

#include "actors/messages.hpp"
#include "actors/supervise/restart_policy.hpp"
#include "net/transport/endpoint.hpp"

namespace ropewalk {

/// What a membership is given.
struct membership_settings {
  endpoint broker;      ///< the shard's cluster port
  node_description me;  ///< with the number by which the node knows the shard
  caf::actor transport; ///< answers (connect_atom, host, port) as CAF's middleman actor does
  caf::actor node;      ///< is told (joined, shard, ports) and (settled, shard)
  caf::actor gateway;   ///< is told (attach, ...) and (detach, shard), and stands for the node
};

/// Makes a node a member of one shard of its broker and keeps it one: joins and, whenever the shard
/// goes away, joins again, for ever, with back-off. Once it is told to drain it looks for a broker
/// no more, and says (settled) when it is not in the middle of joining one: a broker that was asked
/// may count on the node already.
struct membership_state {
  membership_settings settings;
  caf::actor front;   ///< null: not a member
  caf::actor cluster; ///< whom it asked to join
  backoff timeout{milliseconds{50}, milliseconds{1000}, 1};
  bool logged_searching = false; ///< the log knows that there is no broker
  std::uint64_t round = 0;       ///< tells news of this attempt to join from that of earlier ones
  bool joining = false;
  bool draining = false;
  const char* name = "membership";
};

caf::behavior membership(caf::stateful_actor<membership_state>* self, membership_settings settings);

} // namespace ropewalk
