#pragma once

#include "actors/broker/shard_group.hpp"
#include "actors/messages.hpp"

#include <caf/io/broker.hpp>
#include <functional>
#include <vector>

namespace ropewalk {

/// Asks the other shards of a broker about messages, `when_done` with what they and this one know:
/// at once where there are no others. A shard that does not answer in time is left out.
void ask_shards(caf::io::broker& self, const shard_place& shard, const message_query& query,
                std::vector<message_report> own,
                std::function<void(std::vector<message_report>&&)> when_done);

} // namespace ropewalk
