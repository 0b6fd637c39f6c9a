#include "actors/broker/settings.hpp"

#include <algorithm>

namespace ropewalk {

broker_settings share_of(const broker_settings& all, const std::shared_ptr<shard_group>& group,
                         std::uint16_t number) {
  auto result = all;
  result.shard = {number, group};
  if (all.cluster.port != 0)
    result.cluster.port = static_cast<std::uint16_t>(all.cluster.port + number);
  const auto shards = group->size();
  auto& d = result.dispatch;
  d.held_bytes /= shards;
  d.service_bytes /= shards;
  d.queued = std::max<std::uint32_t>(1, d.queued / shards);
  d.node_bytes = std::max(limits::node_bytes.least, d.node_bytes / shards);
  d.node_prefetch /= shards;
  d.node_prefetch_time /= shards;
  result.answers_bytes /= shards;
  return result;
}

} // namespace ropewalk
