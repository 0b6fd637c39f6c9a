#include "actors/broker/settings.hpp"

#include "actors/settings/table.hpp"

namespace ropewalk {

broker_settings share_of(const broker_settings& all, const std::shared_ptr<shard_group>& group,
                         std::uint16_t number) {
  auto result = all;
  static_cast<broker_tuning&>(result) = share_of(static_cast<const broker_tuning&>(all));
  result.shard = {number, group};
  result.dispatch.shard = number;
  if (all.cluster.port != 0)
    result.cluster.port = static_cast<std::uint16_t>(all.cluster.port + number);
  return result;
}

} // namespace ropewalk
