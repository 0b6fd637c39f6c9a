#pragma once

#include "actors/time/instant.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ropewalk::sim {

/// Events in the order of their time; those of the same time in the order in which they were added.
template <class Event>
class event_queue {
public:
  void add(instant at, Event what) {
    std::uint32_t place = 0;
    if (free_.empty()) {
      place = static_cast<std::uint32_t>(events_.size());
      events_.push_back(std::move(what));
    } else {
      place = free_.back();
      free_.pop_back();
      events_[place] = std::move(what);
    }
    heap_.push_back({at, added_++, place});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  [[nodiscard]] bool empty() const { return heap_.empty(); }
  [[nodiscard]] instant next_time() const { return heap_.front().at; }

  Event take() {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const auto place = heap_.back().place;
    heap_.pop_back();
    free_.push_back(place);
    return std::move(events_[place]);
  }

private:
  struct entry {
    instant at;
    std::uint64_t order;
    std::uint32_t place;
  };
  static bool later(const entry& a, const entry& b) {
    return a.at != b.at ? a.at > b.at : a.order > b.order;
  }

  std::vector<entry> heap_;
  std::vector<Event> events_;
  std::vector<std::uint32_t> free_;
  std::uint64_t added_ = 0;
};

} // namespace ropewalk::sim
