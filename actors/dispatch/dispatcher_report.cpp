#include "actors/dispatch/dispatcher.hpp"

#include <algorithm>

/// What the dispatcher says of its services. Walks over all of them, so it is for whoever asks now
/// and then.
namespace ropewalk {

namespace {

// Of a list that need not be in the order of arrival so many are looked at: what was given back is
// few, and what it says of the oldest is right but for a flood of them.
constexpr std::uint32_t most_looked_at_for_the_oldest = 256;

} // namespace

// What waits in one turn, or behind one key, is in the order of arrival: its first is its oldest.
std::chrono::nanoseconds dispatcher::oldest_waiting(const service& s, instant now) const {
  auto oldest = now;
  const auto look = [&](const request_list& list) {
    std::uint32_t left = most_looked_at_for_the_oldest;
    for (auto i = list.head(); i != no_index && left > 0; i = requests_[i].next, --left) {
      oldest = std::min(oldest, deadlines_.inserted(i));
      if (requests_[i].stage == stage::fresh || requests_[i].stage == stage::behind_key) break;
    }
  };
  if (!s.queue.empty()) s.queue.for_each_list(look);
  if (s.keys.waiting() > 0) s.keys.for_each_list(look);
  return now - oldest;
}

std::vector<service_report> dispatcher::services(instant now) const {
  std::vector<service_report> result;
  result.reserve(services_.size());
  for (const auto& s : services_) {
    auto& one = result.emplace_back();
    one.counts = s.counts;
    one.state.name = s.name;
    one.state.waiting = s.waiting();
    one.state.oldest_waiting_seconds =
        std::chrono::duration<double>(oldest_waiting(s, now)).count();
    one.state.answered = s.counts.total.count();
    one.state.paused = offers_.is_paused(static_cast<service_index>(result.size() - 1));
  }
  for (std::uint32_t i = 0; i < offers_.count(); ++i) {
    const auto& o = offers_[i];
    if (!o.in_use) continue;
    auto& of = result[o.service].state;
    of.in_flight += o.placed.size();
    of.nodes += 1;
    const auto wanted = o.min_slots == 0 ? o.all_slots : std::max(o.slots, o.min_slots);
    of.slots += wanted;
    of.slots_failing += o.failing ? wanted : wanted - o.slots;
    of.slots_busy += std::min(o.placed.size(), o.failing ? 0 : o.slots);
  }
  return result;
}

// What a client took back is no error of anybody's.
load_totals dispatcher::load() const {
  load_totals result;
  result.answered = totals_.answered;
  result.waiting = totals_.waiting;
  result.in_flight = totals_.placed;
  for (const auto& s : services_) {
    for (const auto count : s.counts.errors) result.errors += count;
    result.errors -= s.counts.errors[static_cast<std::size_t>(error_code::cancelled)];
    stats::add_fields(result.total, s.counts.total);
  }
  return result;
}

} // namespace ropewalk
