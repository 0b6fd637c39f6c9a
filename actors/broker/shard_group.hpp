#pragma once

#include "actors/broker/sessions/connection_limiter.hpp"
#include "actors/stats/load_history.hpp"

#include <caf/actor.hpp>
#include <caf/actor_addr.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

/// A broker process may have several shards: event loops on threads of their own, each with a CAF
/// system, a front with its clients and a dispatcher, and a cluster port. Shards listen on the same
/// client ports, over which the kernel spreads new connections; every node joins all of them.
///
///     clients --+-- shard 0: front, dispatcher --+-- node
///               +-- shard 1: front, dispatcher --+-- node
///
/// A request stays on its client's shard, so that shards share nothing but what this class knows.
/// What follows from that: the limits on memory and queues hold for the process because every shard
/// gets its part (`share_of`), and ordering keys, which would have to hold across shards, are
/// refused.
///
/// A broker of one shard has a group of one. Any thread.
class shard_group {
public:
  /// A shard that does not answer another within this is being started again: what the others know
  /// must do.
  static constexpr std::chrono::milliseconds answer_timeout{1000};

  explicit shard_group(std::uint16_t shards = 1, const connection_limiter::settings& census = {})
      : census_(connection_limiter::make(census)), places_(shards), history_(shards) {}

  [[nodiscard]] std::uint16_t size() const { return static_cast<std::uint16_t>(places_.size()); }
  [[nodiscard]] const std::shared_ptr<connection_limiter>& census() const { return census_; }

  /// A shard has a new front.
  void set_front(std::uint16_t shard, const caf::actor& front);

  /// The living fronts of the other shards.
  [[nodiscard]] std::vector<caf::actor> other_fronts(std::uint16_t shard) const;

  /// A node offers a service to one of the shards, and is about to offer it to the others.
  void add_service(const std::string& name);

  /// True if a node ever offered the service to one of them.
  [[nodiscard]] bool has_service(std::string_view name) const;

  /// What a shard has done since it began: to be said every second, for the hour that pages show.
  void record_load(std::uint16_t shard, const load_totals& totals,
                   load_history::clock::time_point now);

  /// What all shards did, from that point of the history on.
  [[nodiscard]] load_points load_since(std::uint64_t first) const;

  /// A shard has opened its cluster port. True if all of them have now.
  bool opened(std::uint16_t shard, std::uint16_t port);

  /// The cluster ports of all shards; nothing while one is not open yet.
  [[nodiscard]] std::optional<std::vector<std::uint16_t>> ports() const;

private:
  struct place {
    caf::actor_addr front;
    std::uint16_t port = 0; // 0: not open
  };

  [[nodiscard]] bool complete() const;

  const std::shared_ptr<connection_limiter> census_;
  mutable std::mutex mutex_;
  std::vector<place> places_;
  std::set<std::string, std::less<>> services_;
  load_history history_;
};

/// Which shard somebody is.
struct shard_place {
  std::uint16_t number = 0;
  std::shared_ptr<shard_group> group = std::make_shared<shard_group>();

  /// "shard 2: " for the log; nothing if there is just one.
  [[nodiscard]] std::string label() const {
    return group->size() == 1 ? "" : "shard " + std::to_string(number) + ": ";
  }
};

} // namespace ropewalk
