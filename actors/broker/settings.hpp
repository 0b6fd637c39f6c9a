#pragma once

#include "actors/admin/http_guard.hpp"
#include "actors/broker/sessions/client_access.hpp"
#include "actors/broker/shard_group.hpp"
#include "actors/otlp/otlp_exporter.hpp"
#include "actors/settings/tuning.hpp"
#include "net/tls/reloadable_tls.hpp"
#include "net/transport/endpoint.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace ropewalk {

/// What `ropewalk broker` was told, for one of its shards: its numbers, and what else it was told.
struct broker_settings : broker_tuning {
  std::vector<endpoint> listen{{"127.0.0.1", 7070}};
  std::vector<endpoint> http; ///< where HTTP is spoken; none: nowhere
  http_guard guard;           ///< of these
  endpoint cluster{"127.0.0.1", 7071};
  std::uint64_t seed = 0; ///< of the hashes of what clients choose: one that they cannot guess
  client_access_settings access;
  std::shared_ptr<reloadable_tls> cluster_tls; ///< with nodes; null: plainly
  std::shared_ptr<otlp_exporter> traces;       ///< takes those that are sampled; null: nobody does
  shard_place shard;
};

/// What shard `number` of a group gets of what was told for the process: its part of the numbers
/// (actors/settings says which are divided), and its cluster port, which is the first one's and
/// `number` more (any, if any will do).
broker_settings share_of(const broker_settings& all, const std::shared_ptr<shard_group>& group,
                         std::uint16_t number);

} // namespace ropewalk
