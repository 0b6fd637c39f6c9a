#include "actors/dispatch/deadline_wheel.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ropewalk {

namespace {

std::uint32_t narrow(std::uint64_t slot) {
  return static_cast<std::uint32_t>(slot);
}

} // namespace

std::uint32_t deadline_wheel::near_slot(std::uint64_t due) {
  return narrow(due % near_slots);
}

std::uint32_t deadline_wheel::far_slot(std::uint64_t due) {
  return narrow(near_slots + due / near_slots % far_slots);
}

std::uint32_t deadline_wheel::farthest_slot(std::uint64_t due) {
  return narrow(near_slots + far_slots + due / (near_slots * far_slots) % far_slots);
}

void deadline_wheel::insert(std::uint32_t entry, instant deadline, instant now) {
  if (entry >= links_.size()) links_.resize(std::max<std::size_t>(entry + 1, links_.size() * 2));
  assert(links_[entry].slot == none);
  const auto since = std::chrono::ceil<milliseconds>(deadline - start_).count();
  const auto due =
      since <= 0 ? 0 : static_cast<std::uint64_t>((since + tick.count() - 1) / tick.count());
  links_[entry].due = std::max(due, now_);
  links_[entry].inserted = now;
  place(entry);
  ++size_;
}

void deadline_wheel::place(std::uint32_t entry) {
  auto& me = links_[entry];
  if (me.due - now_ < near_slots) {
    me.slot = near_slot(me.due);
  } else if (me.due / near_slots - now_ / near_slots < far_slots) {
    me.slot = far_slot(me.due);
  } else {
    constexpr auto horizon = near_slots * far_slots * (far_slots - 1);
    me.slot = farthest_slot(now_ + std::min(me.due - now_, horizon - 1));
  }
  me.previous = none;
  me.next = heads_[me.slot];
  if (me.next != none) links_[me.next].previous = entry;
  heads_[me.slot] = entry;
}

void deadline_wheel::erase(std::uint32_t entry) {
  if (entry >= links_.size() || links_[entry].slot == none) return;
  auto& me = links_[entry];
  if (me.previous != none)
    links_[me.previous].next = me.next;
  else
    heads_[me.slot] = me.next;
  if (me.next != none) links_[me.next].previous = me.previous;
  me.slot = none;
  --size_;
}

std::uint32_t deadline_wheel::take_slot(std::uint32_t slot) {
  return std::exchange(heads_[slot], none);
}

void deadline_wheel::cascade(std::uint32_t slot) {
  for (auto entry = take_slot(slot); entry != none;) {
    const auto next = links_[entry].next;
    place(entry);
    entry = next;
  }
}

bool deadline_wheel::advance(instant now, std::vector<std::uint32_t>& expired, std::uint64_t max) {
  if (now < start_) return false;
  const auto last =
      static_cast<std::uint64_t>(std::chrono::floor<milliseconds>(now - start_) / tick);
  if (size_ == 0) { // nothing to find on the way
    now_ = std::max(now_, last + 1);
    return false;
  }
  for (; now_ <= last; ++now_) {
    if (now_ % near_slots == 0) { // where the last call stopped there is nothing left to do
      if (now_ / near_slots % far_slots == 0) cascade(farthest_slot(now_));
      cascade(far_slot(now_));
    }
    for (auto entry = heads_[near_slot(now_)]; entry != none; entry = heads_[near_slot(now_)]) {
      if (max-- == 0) return true;
      assert(links_[entry].due <= now_);
      erase(entry);
      expired.push_back(entry);
    }
  }
  return false;
}

} // namespace ropewalk
