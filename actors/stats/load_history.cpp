#include "actors/stats/load_history.hpp"

#include <algorithm>
#include <limits>

namespace ropewalk {

namespace {

// A total that is smaller than before belongs to somebody who began anew.
std::uint64_t grown(std::uint64_t from, std::uint64_t to) {
  return to >= from ? to - from : to;
}

void add_growth(latency_histogram& into, const latency_histogram& from,
                const latency_histogram& to) {
  for (std::size_t i = 0; i < into.buckets.size(); ++i)
    into.buckets[i] += grown(from.buckets[i], to.buckets[i]);
  into.sum_ns += grown(from.sum_ns, to.sum_ns);
}

std::uint32_t narrowed(std::uint64_t value) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
}

} // namespace

void load_history::record(std::size_t shard, const load_totals& totals, clock::time_point now) {
  if (open_since_ == clock::time_point{}) open_since_ = now;
  auto& before = latest_.at(shard);
  open_.answered += grown(before.answered, totals.answered);
  open_.errors += grown(before.errors, totals.errors);
  add_growth(open_.total, before.total, totals.total);
  before = totals;
  if (now - open_since_ >= interval) close_point(now);
}

// Whoever was late (a machine that was paused) has one longer point.
void load_history::close_point(clock::time_point now) {
  const auto seconds = std::chrono::duration<double>(now - open_since_).count();
  load_totals sum;
  for (const auto& one : latest_) {
    sum.waiting += one.waiting;
    sum.in_flight += one.in_flight;
  }
  load_point fresh;
  fresh.at = now;
  fresh.answered_per_second = static_cast<double>(open_.answered) / seconds;
  fresh.errors_per_second = static_cast<double>(open_.errors) / seconds;
  fresh.p50_seconds = static_cast<float>(open_.total.quantile(0.5));
  fresh.p90_seconds = static_cast<float>(open_.total.quantile(0.9));
  fresh.p99_seconds = static_cast<float>(open_.total.quantile(0.99));
  fresh.waiting = narrowed(sum.waiting);
  fresh.in_flight = narrowed(sum.in_flight);
  if (ring_.size() < capacity)
    ring_.push_back(fresh);
  else
    ring_[count_ % capacity] = fresh;
  ++count_;
  open_ = {};
  open_since_ = now;
}

load_points load_history::since(std::uint64_t first) const {
  load_points result;
  result.next = count_;
  const auto kept = count_ - ring_.size();
  for (auto i = std::max(first, kept); i < count_; ++i) result.list.push_back(ring_[i % capacity]);
  return result;
}

} // namespace ropewalk
