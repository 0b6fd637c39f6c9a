#include "actors/dispatch/dispatcher.hpp"
#include "net/protocol/frame.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

/// What is not answered yet, and why: for people. Walks over what waits, within bounds, so it is for
/// whoever asks now and then.
namespace ropewalk {

namespace {

// Of those that wait in one place so many are looked at for the oldest; they are in the order of
// arrival, but for a few that came back.
constexpr std::uint32_t most_looked_at = 64;
constexpr std::size_t most_looked_at_in_all = 65'536;

std::string count_of(std::uint64_t count, std::string_view one, std::string_view several) {
  return std::to_string(count) + ' ' + std::string{count == 1 ? one : several};
}

// "41 before it"; a walk that was cut short says so.
std::string before_it(std::uint32_t before) {
  if (before == 0) return "it is the next";
  return (before >= service_queue::max_walk ? "more than " : "") + std::to_string(before) +
         " before it";
}

// Milliseconds while they matter.
std::string time_text(std::chrono::nanoseconds time) {
  const auto seconds = std::chrono::duration<double>(time).count();
  std::array<char, 32> text{};
  if (seconds < 1)
    std::snprintf(text.data(), text.size(), "%.0f ms", seconds * 1000);
  else
    std::snprintf(text.data(), text.size(), "%.1f s", seconds);
  return text.data();
}

} // namespace

std::uint32_t dispatcher::before(std::uint32_t index) const {
  if (requests_[index].stage == stage::fresh || requests_[index].stage == stage::returned ||
      requests_[index].stage == stage::retry)
    return services_[requests_[index].service].queue.before(requests_, index);
  // Behind its key, or with its node.
  std::uint32_t result = 0;
  for (auto i = requests_[index].previous; i != no_index && result < service_queue::max_walk;
       i = requests_[i].previous)
    ++result;
  return result;
}

std::string dispatcher::why_behind_key(std::uint32_t index, instant now) const {
  const auto& r = requests_[index];
  const auto holder = services_[r.service].keys.holder(r.lane);
  const auto& first = requests_[holder];
  if (first.connection == no_index)
    return "its key is held by a request that nobody waits for any more and that a node still runs";
  std::string where = "waits itself";
  if (first.stage == stage::placed) {
    const auto name = history_.name_of(offers_[first.offer].node);
    where = name ? "is with node " + *name : "is with a node";
  }
  return "its key is held by request " + id_of_request(first).text() + ", which came " +
         time_text(now - deadlines_.inserted(holder)) + " ago and " + where;
}

std::string dispatcher::why_waiting(std::uint32_t index, instant now) const {
  const auto& r = requests_[index];
  const auto& s = services_[r.service];
  const auto& all = offers_.of_service(r.service);
  if (all.empty())
    return s.unoffered && !s.only_asked ? "no node offers it; the last one left " +
                                              time_text(now - s.unoffered_since) + " ago"
                                        : "no node offers it yet";
  if (offers_.is_paused(r.service)) return "its service is paused by who runs the broker";
  std::uint32_t slots = 0;
  std::uint32_t busy = 0;
  std::uint32_t failing = 0;
  std::uint32_t closed = 0;
  std::uint32_t resting = 0;
  for (const auto which : all) {
    const auto& o = offers_[which];
    slots += o.slots;
    busy += std::min(o.placed.size(), o.slots);
    failing += o.failing ? 1 : 0;
    closed += o.closed ? 1 : 0;
    resting += o.resting ? 1 : 0;
  }
  if (r.stage == stage::retry && busy < slots)
    return "its worker was lost, and how many such requests are started again at a time is limited "
           "(--retry-share)";
  auto result = count_of(slots, "slot", "slots") + " of this service, ";
  result += busy < slots ? std::to_string(busy) + " busy" : "all busy";
  if (failing > 0) result += "; " + count_of(failing, "node fails", "nodes fail") + " to run it";
  if (closed > 0) result += "; " + count_of(closed, "node drains", "nodes drain");
  if (resting > 0)
    result += "; " + count_of(resting, "node", "nodes") + " gave work back a moment ago";
  return result;
}

std::string dispatcher::why_placed(std::uint32_t index, std::uint32_t ahead) const {
  const auto& r = requests_[index];
  const auto& o = offers_[r.offer];
  const auto name = history_.name_of(o.node);
  const auto node = name ? "node " + *name : "a node";
  if (!r.sent) return node + " is about to get it";
  if (ahead < o.slots) return node + " runs it";
  return node + " has it, behind " + count_of(ahead, "other", "others") + ", for " +
         count_of(o.slots, "slot", "slots");
}

message_report dispatcher::explained(std::uint32_t index, instant now) const {
  auto result = report_of(index, now);
  if (const auto* past = history_.past_of(index)) {
    result.attempts = past->attempts;
    result.left_out = past->left_out;
  }
  const auto& r = requests_[index];
  result.before = before(index);
  if (r.stage == stage::placed) {
    attempt_report current;
    current.node = history_.name_of(offers_[r.offer].node);
    current.placed = placed_after(index);
    current.number = r.attempt();
    result.attempts.push_back(std::move(current));
    result.waits = why_placed(index, *result.before);
    result.before.reset();
    return result;
  }
  result.waits =
      r.stage == stage::behind_key ? why_behind_key(index, now) : why_waiting(index, now);
  result.waits += "; " + before_it(*result.before);
  return result;
}

// The one with that id, or all of that trace.
void dispatcher::find_named(const message_query& query, std::vector<message_report>& into,
                            instant now) const {
  if (query.id) {
    const connection_id whose{query.id->connection, query.id->generation};
    if (query.id->shard != settings_.shard || !is_current(whose)) return;
    const auto index = ids_.find(requests_, whose.index, query.id->request,
                                 ids_.hash_of(whose.index, query.id->request));
    if (index != no_index) into.push_back(explained(index, now));
  }
  if (!query.trace) return;
  const auto tag = tag_of(*query.trace);
  for (std::uint32_t i = 0; i < trace_tags_.size() && into.size() < query.limit; ++i)
    if (trace_tags_[i] == tag && requests_[i].stage != stage::free &&
        requests_[i].connection != no_index)
      into.push_back(explained(i, now));
}

// The oldest of those that are not answered yet.
void dispatcher::find_open(const message_query& query, std::vector<message_report>& into,
                           instant now) const {
  std::vector<std::uint32_t> found;
  const auto is_whose = [&](std::uint32_t i) {
    if (!query.who) return true;
    return requests_[i].has_fields && find_field(fields_[i].view(), field::client) == *query.who;
  };
  const auto look = [&](const request_list& list) {
    if (found.size() >= most_looked_at_in_all) return;
    auto left = most_looked_at;
    for (auto i = list.head(); i != no_index && left > 0; i = requests_[i].next, --left)
      if (requests_[i].connection != no_index && is_whose(i)) found.push_back(i);
  };
  for (service_index which = 0; which < services_.size(); ++which) {
    const auto& s = services_[which];
    if (!query.service.empty() && query.service != s.name) continue;
    for (const auto offer : offers_.of_service(which)) look(offers_[offer].placed);
    if (!s.queue.empty()) s.queue.for_each_list(look);
    if (s.keys.waiting() > 0) s.keys.for_each_list(look);
  }
  std::stable_sort(found.begin(), found.end(), [&](std::uint32_t one, std::uint32_t other) {
    return deadlines_.inserted(one) < deadlines_.inserted(other);
  });
  if (found.size() > query.limit) found.resize(query.limit);
  for (const auto index : found) into.push_back(explained(index, now));
}

std::vector<message_report> dispatcher::messages(const message_query& query, instant now) const {
  const auto wanted = [&](const message_report& one) {
    if (!query.service.empty() && one.service != query.service) return false;
    if (query.who && one.client != *query.who) return false;
    if (query.id) return one.id == *query.id;
    return !query.trace || (one.trace && one.trace->trace == *query.trace);
  };
  std::vector<message_report> result;
  if (query.what == message_query::about::one) find_named(query, result, now);
  if (query.what == message_query::about::open) find_open(query, result, now);
  std::erase_if(result, [&](const message_report& one) { return !wanted(one); });
  history_.find(query, result, wanted);
  sort_and_cut(result, query);
  return result;
}

} // namespace ropewalk
