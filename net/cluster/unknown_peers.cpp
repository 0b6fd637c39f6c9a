#include "net/cluster/unknown_peers.hpp"

#include <algorithm>
#include <utility>

namespace ropewalk {

std::uint64_t unknown_peers::add(time_point now, give_up tell) {
  if (waiting_.size() >= limits_.max_peers)
    give_up_oldest("it had not shaken hands when " + std::to_string(limits_.max_peers) +
                   " others waited to do so");
  waiting_.push_back({++last_number_, now + limits_.time, std::move(tell)});
  return last_number_;
}

void unknown_peers::forget(std::uint64_t number) {
  std::erase_if(waiting_, [number](const peer& one) { return one.number == number; });
}

void unknown_peers::check(time_point now) {
  while (!waiting_.empty() && waiting_.front().end <= now)
    give_up_oldest("it has not shaken hands within " + std::to_string(limits_.time.count()) +
                   " ms");
}

std::optional<unknown_peers::time_point> unknown_peers::next_end() const {
  if (waiting_.empty()) return {};
  return waiting_.front().end;
}

// Taken out first: who is told may call `forget`.
void unknown_peers::give_up_oldest(const std::string& why) {
  if (waiting_.empty()) return;
  const auto oldest = std::move(waiting_.front());
  waiting_.pop_front();
  oldest.tell(why);
}

} // namespace ropewalk
