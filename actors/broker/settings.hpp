#pragma once

#include "actors/broker/sessions/gatekeeper.hpp"
#include "actors/broker/shard_group.hpp"
#include "actors/dispatch/dispatcher.hpp"
#include "actors/supervise/restart_policy.hpp"
#include "net/transport/endpoint.hpp"

#include <vector>

namespace ropewalk {

/// What `ropewalk broker` was told, for one of its shards.
struct broker_settings {
  std::vector<endpoint> listen{{"127.0.0.1", 7070}};
  endpoint cluster{"127.0.0.1", 7071};
  dispatch_limits dispatch;
  std::uint64_t seed = 0; ///< of the hashes of what clients choose: one that they cannot guess
  std::size_t max_message_bytes = limits::max_message.standard;
  std::uint64_t unread_answers_bytes = limits::unread_answers.standard;
  milliseconds unread_answers_time{limits::unread_answers_time.standard};
  std::uint64_t answers_bytes = limits::answers_memory.standard;
  milliseconds hello_time{limits::hello_time.standard};
  milliseconds message_time{limits::message_time.standard};
  milliseconds idle_time{limits::idle_time.standard};
  client_access_settings access;
  milliseconds drain_time{limits::drain.standard};
  restart_policy::settings restarts;
  shard_place shard;
};

/// What shard `number` of a group gets of what was told for the process: its part of what the
/// process may hold and hand out ahead, and its cluster port, which is the first one's and `number`
/// more (any, if any will do).
broker_settings share_of(const broker_settings& all, const std::shared_ptr<shard_group>& group,
                         std::uint16_t number);

} // namespace ropewalk
