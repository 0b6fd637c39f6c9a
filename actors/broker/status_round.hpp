#pragma once

#include "actors/broker/shard_group.hpp"
#include "actors/stats/broker_report.hpp"

#include <caf/io/broker.hpp>
#include <cstddef>
#include <functional>

namespace ropewalk {

/// Collects the numbers of all shards of a broker, one round at a time.
class status_round {
public:
  using when_done = std::function<void(const broker_report& all)>;

  status_round(caf::io::broker& self, shard_place shard) : self_(self), shard_(std::move(shard)) {}

  /// Asks the other shards, adds what they say to `own`, and hands over the sum: at once where
  /// there are no others. A shard that does not answer in time is left out.
  void begin(broker_report own, when_done done);

private:
  void one_less();

  caf::io::broker& self_;
  const shard_place shard_;
  broker_report sum_;
  std::size_t outstanding_ = 0;
  when_done done_;
};

} // namespace ropewalk
