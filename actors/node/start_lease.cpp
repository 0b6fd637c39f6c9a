#include "actors/node/start_lease.hpp"

#include <algorithm>

namespace ropewalk {

void start_lease::attach(std::uint16_t shard, instant now) {
  if (shard >= shards_.size()) shards_.resize(shard + 1u);
  shards_[shard] = {true, now + length, {}};
  if (last_beat_ == instant{}) last_beat_ = now;
  reconsider();
}

void start_lease::detach(std::uint16_t shard) {
  if (shard >= shards_.size()) return;
  shards_[shard] = {};
  reconsider();
}

bool start_lease::beat(instant now) {
  const bool gap = lapsed_.exchange(false) || now - last_beat_ > largest_gap;
  last_beat_ = now;
  if (gap)
    for (auto& s : shards_) {
      s.until = {};
      s.not_before = now;
    }
  reconsider();
  if (!gap && now - last_asked_ < ask_interval) return false;
  last_asked_ = now;
  return true;
}

void start_lease::confirmed(std::uint16_t shard, instant asked) {
  if (shard >= shards_.size() || !shards_[shard].attached) return;
  auto& s = shards_[shard];
  if (asked < s.not_before) return;
  s.until = std::max(s.until, asked + length);
  reconsider();
}

void start_lease::reconsider() {
  auto until = last_beat_ + largest_gap;
  bool any = false;
  for (const auto& s : shards_) {
    if (!s.attached) continue;
    any = true;
    until = std::min(until, s.until);
  }
  good_until_.store(any ? until.time_since_epoch().count() : never);
  if (lapsed_.load()) good_until_.store(never); // between the two: the next beat sees to it
}

} // namespace ropewalk
