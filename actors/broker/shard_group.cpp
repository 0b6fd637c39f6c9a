#include "actors/broker/shard_group.hpp"

#include <algorithm>
#include <caf/actor_cast.hpp>

namespace ropewalk {

void shard_group::set_front(std::uint16_t shard, const caf::actor& front) {
  const std::lock_guard lock{mutex_};
  places_[shard].front = front.address();
}

std::vector<caf::actor> shard_group::other_fronts(std::uint16_t shard) const {
  std::vector<caf::actor> result;
  const std::lock_guard lock{mutex_};
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (i == shard) continue;
    if (auto front = caf::actor_cast<caf::actor>(places_[i].front))
      result.push_back(std::move(front));
  }
  return result;
}

void shard_group::add_service(const std::string& name) {
  const std::lock_guard lock{mutex_};
  services_.insert(name);
}

bool shard_group::has_service(std::string_view name) const {
  const std::lock_guard lock{mutex_};
  return services_.contains(name);
}

void shard_group::record_load(std::uint16_t shard, const load_totals& totals,
                              load_history::clock::time_point now) {
  const std::lock_guard lock{mutex_};
  history_.record(shard, totals, now);
}

load_points shard_group::load_since(std::uint64_t first) const {
  const std::lock_guard lock{mutex_};
  return history_.since(first);
}

bool shard_group::opened(std::uint16_t shard, std::uint16_t port) {
  const std::lock_guard lock{mutex_};
  places_[shard].port = port;
  return complete();
}

std::optional<std::vector<std::uint16_t>> shard_group::ports() const {
  const std::lock_guard lock{mutex_};
  if (!complete()) return std::nullopt;
  std::vector<std::uint16_t> result;
  for (const auto& p : places_) result.push_back(p.port);
  return result;
}

bool shard_group::complete() const {
  return std::all_of(places_.begin(), places_.end(), [](const place& p) { return p.port != 0; });
}

} // namespace ropewalk
