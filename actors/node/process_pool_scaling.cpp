#include "actors/node/process_pool.hpp"
#include "actors/settings/machine.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <numeric>
#include <spdlog/spdlog.h>
#include <utility>

// A range of slots: processes that come while requests wait, and go when they are idle.
namespace ropewalk {

// As many as the lowest slots are of; all, without a range.
std::size_t process_pool::min_processes() const {
  if (!is_elastic()) return members_.size();
  const auto each = (settings_.slots + members_.size() - 1) / members_.size();
  const auto min = settings_.process.options.min_slots;
  return std::min(members_.size(), (min + each - 1) / each);
}

// What the largest of its processes has, twice, and so for each of those that are starting: one that
// has just started is not as large yet as it will be.
bool process_pool::has_memory_for_another(std::size_t starting, instant now) {
  std::uint64_t largest = 0;
  for (const auto& m : members_) largest = std::max(largest, m.process->memory());
  const auto left = free_memory();
  if (!left || *left >= 2 * largest * (1 + starting)) return true;
  if (short_of_memory_.is_to_be_said(now))
    spdlog::warn(
        "service {}: requests wait, and another process is not started: its largest has {} "
        "MiB, and {} MiB of memory are left",
        settings_.process.service, largest / limits::mib, *left / limits::mib);
  return false;
}

void process_pool::start_more(instant now) {
  if (draining_) return;
  process_scaling::load load;
  load.waiting = std::accumulate(waiting_.begin(), waiting_.end(), queue_->count().waiting);
  for (const auto& m : members_) {
    if (m.process->takes_requests()) ++load.ready;
    load.starting += m.wanted && !m.process->takes_requests() ? 1 : 0;
    load.down += m.wanted ? 0 : 1;
    load.slots_of_each = std::max(load.slots_of_each, static_cast<std::uint32_t>(m.offered.size()));
  }
  auto more = scaling_.to_start(load, now);
  std::size_t starting = load.starting;
  for (auto& m : members_) {
    if (more == 0) return;
    if (m.wanted || !m.process->is_down()) continue; // or is coming to its end
    if (!has_memory_for_another(starting++, now)) return;
    start_one_more(m, now);
    --more;
  }
}

void process_pool::start_one_more(member& m, instant now) {
  spdlog::info("service {}: requests wait; starting process {}", settings_.process.service,
               m.process->what().number);
  m.wanted = true;
  m.used = now;
  m.start_at = now;
}

// Those of the lowest slots stay. One that does not come up is given up as well, once nothing has
// waited for so long.
void process_pool::end_idle(instant now) {
  const bool waits = std::any_of(waiting_.begin(), waiting_.end(), [](auto n) { return n > 0; });
  for (auto i = min_processes(); i < members_.size(); ++i) {
    auto& m = members_[i];
    if (!m.wanted || m.old || (m.next && !m.next->is_down())) continue;
    const auto asked = std::exchange(m.asked_then, m.process->requests());
    if (asked != m.asked_then || m.process->load().running() > 0 || m.parked ||
        (waits && !m.process->takes_requests()))
      m.used = now;
    if (now - m.used < settings_.process.options.idle_time) continue;
    m.wanted = false;
    m.replaces = m.replaces_again = false;
    m.start_at.reset();
    if (m.process->is_down()) continue;
    spdlog::info("service {}: process {} has been idle for {} ms, and is ended",
                 settings_.process.service, i, settings_.process.options.idle_time.count());
    close_all(m, 0, now);
    m.process->stop(now);
  }
}

} // namespace ropewalk
