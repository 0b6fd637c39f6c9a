#include "actors/stats/message_report.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace ropewalk {

namespace {

// A number and what stands behind it, which must be `end` (0: nothing); it is taken off.
template <class T>
bool take_number(std::string_view& text, T& into, char end) {
  const auto* const last = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), last, into);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(at - text.data()));
  if (end == 0) return text.empty();
  if (text.empty() || text.front() != end) return false;
  text.remove_prefix(1);
  return true;
}

std::size_t memory_of(const shared_text& text) {
  return text ? text->size() + 48 : 0; // with its block's head
}

} // namespace

std::string message_id::text() const {
  return std::to_string(shard) + '.' + std::to_string(connection) + '.' +
         std::to_string(generation) + '-' + std::to_string(request);
}

std::optional<message_id> read_message_id(std::string_view text) {
  message_id result;
  if (take_number(text, result.shard, '.') && take_number(text, result.connection, '.') &&
      take_number(text, result.generation, '-') && take_number(text, result.request, 0))
    return result;
  return std::nullopt;
}

std::string_view name_of(attempt_end how) {
  static constexpr std::array<std::string_view, 9> names{
      "open",        "answered",  "failed",   "crashed",  "crashed among others",
      "interrupted", "node lost", "returned", "withdrawn"};
  return names[static_cast<std::size_t>(how)];
}

std::size_t message_report::memory() const {
  std::size_t result = sizeof *this + attempts.capacity() * sizeof(attempt_report) +
                       service.capacity() + client.capacity() + waits.capacity() +
                       memory_of(detail) + memory_of(cancelled_by);
  for (const auto& one : attempts) result += memory_of(one.why);
  return result;
}

void sort_and_cut(std::vector<message_report>& all, const message_query& query) {
  const bool slowest =
      query.what == message_query::about::slow || query.what == message_query::about::open;
  std::stable_sort(all.begin(), all.end(), [&](const message_report& a, const message_report& b) {
    return slowest ? a.took > b.took : a.came + a.took > b.came + b.took;
  });
  if (all.size() > query.limit) all.resize(query.limit);
}

} // namespace ropewalk
