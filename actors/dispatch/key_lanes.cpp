#include "actors/dispatch/key_lanes.hpp"

#include <utility>

namespace ropewalk {

bool key_lanes::enter(request_table& all, std::uint32_t index, std::string_view key) {
  if (const auto found = lane_by_key_.find(key); found != lane_by_key_.end()) {
    all[index].lane = found->second;
    all[index].stage = stage::behind_key;
    lanes_[found->second].behind.push_back(all, index);
    ++waiting_;
    return false;
  }
  const auto lane = free_lanes_.take(lanes_);
  lanes_[lane].name = lane_by_key_.emplace(key, lane).first;
  lanes_[lane].holder = index;
  all[index].lane = lane;
  return true;
}

std::uint32_t key_lanes::leave(request_table& all, std::uint32_t index) {
  const auto which = std::exchange(all[index].lane, no_index);
  auto& l = lanes_[which];
  if (l.behind.empty()) {
    lane_by_key_.erase(l.name);
    free_lanes_.give_back(which);
    return no_index;
  }
  const auto next = l.behind.head();
  l.behind.remove(all, next);
  --waiting_;
  l.holder = next;
  return next;
}

void key_lanes::remove(request_table& all, std::uint32_t index) {
  lanes_[std::exchange(all[index].lane, no_index)].behind.remove(all, index);
  --waiting_;
}

} // namespace ropewalk
