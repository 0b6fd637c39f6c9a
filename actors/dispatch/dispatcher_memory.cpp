#include "actors/dispatch/dispatcher.hpp"

#include <algorithm>
#include <utility>

/// What the dispatcher keeps for requests to come.
namespace ropewalk {

namespace {

// So many records stay: some 3 MiB with all that belongs to them, and as much as a lively broker
// has in use.
constexpr std::size_t kept_records = 16'384;

template <class T>
void free_memory(std::vector<T>& of) { // `= {}` would keep it
  of = std::vector<T>{};
}

} // namespace

// Tokens are still never used twice: what is made anew begins above every generation that there was.
void dispatcher::release_memory() {
  const bool quiet = std::exchange(submitted_before_, totals_.submitted) == totals_.submitted;
  if (!quiet || requests_.size() <= kept_records || free_requests_.size() < requests_.size())
    return;
  for (const auto& r : requests_) first_generation_ = std::max(first_generation_, r.generation);
  free_memory(requests_);
  free_memory(fields_);
  free_memory(trace_tags_);
  free_memory(expired_);
  free_requests_ = index_pool{};
  ids_.release_memory();
  deadlines_.release_memory();
  if (placed_.empty()) free_memory(placed_);
  if (actions_.empty()) actions_ = actions{};
}

} // namespace ropewalk
