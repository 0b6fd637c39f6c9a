#include "actors/dispatch/node_selector.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ropewalk {

namespace {

// How much longer a message may wait for the sake of going where the last one went: more than a
// batch of its own costs both sides, less than anybody notices. (64 B x 64 in messages a second:
// none 0.95 million, 20 us 1.13, 100 us 1.34.)
constexpr double affinity_us = 100;

} // namespace

std::uint32_t node_selector::add(node_number to, service_index which, std::uint32_t slots,
                                 const ropewalk::credit& credit) {
  const auto index = free_.take(offers_);
  auto& o = offers_[index];
  o = offer{};
  o.node = to;
  o.service = which;
  auto& of_node = nodes_[to];
  o.index = static_cast<std::uint16_t>(of_node.size());
  o.slots = o.all_slots = slots;
  o.credit = credit;
  o.in_use = true;
  of_node.push_back(index);
  auto& s = service_at(which);
  s.offers.push_back(index);
  s.slots += slots;
  close(index, closed_by::pause, s.paused);
  return index;
}

node_selector::service& node_selector::service_at(service_index which) {
  if (which >= services_.size()) services_.resize(which + 1);
  return services_[which];
}

void node_selector::close(std::uint32_t index, closed_by reason, bool closed) {
  const auto bit = static_cast<std::uint8_t>(reason);
  auto& o = offers_[index];
  o.closed = static_cast<std::uint8_t>(closed ? o.closed | bit : o.closed & ~bit);
  reconsider(index);
}

void node_selector::close(node_number which) {
  for (const auto index : of_node(which)) close(index, closed_by::node, true);
}

void node_selector::set_drained(node_number which, bool drained) {
  for (const auto index : of_node(which)) close(index, closed_by::drain, drained);
}

void node_selector::set_paused(service_index which, bool paused) {
  service_at(which).paused = paused;
  for (const auto index : of_service(which)) close(index, closed_by::pause, paused);
}

const std::vector<std::uint32_t>& node_selector::of_service(service_index which) const {
  static const std::vector<std::uint32_t> none;
  return which < services_.size() ? services_[which].offers : none;
}

const std::vector<std::uint32_t>& node_selector::of_node(node_number which) const {
  static const std::vector<std::uint32_t> none;
  const auto found = nodes_.find(which);
  return found == nodes_.end() ? none : found->second;
}

void node_selector::remove_all(node_number which) {
  for (const auto index : of_node(which)) {
    auto& o = offers_[index];
    assert(o.placed.empty() && o.in == offer::room::none);
    o.in_use = false;
    if (o.failing) --services_[o.service].failing;
    services_[o.service].slots -= o.all_slots;
    std::erase(services_[o.service].offers, index);
    if (auto& s = services_[o.service]; s.last == index) s.last = no_index, s.affinity = 0;
    free_.give_back(index);
  }
  nodes_.erase(which);
}

// Power of two choices: nearly as good as asking all of them, at a cost that does not grow with
// their number.
std::uint32_t node_selector::better_of_two(const std::vector<std::uint32_t>& candidates) {
  const auto count = static_cast<std::uint32_t>(candidates.size());
  if (count == 1) return candidates[0];
  const auto i = random_.next_32() % count;
  auto j = random_.next_32() % (count - 1);
  if (j >= i) ++j;
  const auto& a = offers_[candidates[i]];
  const auto& b = offers_[candidates[j]];
  return a.load() <= b.load() ? candidates[i] : candidates[j];
}

std::uint32_t node_selector::choose(service_index which, connection_index whose) {
  if (which >= services_.size()) return no_index;
  auto& s = services_[which];
  const auto wanted = s.idle.empty() ? offer::room::spare : offer::room::idle;
  const auto& candidates = s.idle.empty() ? s.spare : s.idle;
  if (candidates.empty()) return no_index;
  if (s.affinity > 0 && s.last_from == whose && offers_[s.last].in == wanted) {
    --s.affinity;
    return s.last;
  }
  const auto better = better_of_two(candidates);
  const auto difference = [&] { return offers_[s.last].load() - offers_[better].load(); };
  const bool stays = s.last != no_index && s.last != better && offers_[s.last].in == wanted &&
                     difference() * offers_[s.last].credit.mean_us() <= affinity_us;
  if (!stays) s.last = better;
  s.last_from = whose;
  // What the same client asks for next goes along: its answers travel together, too.
  const auto& chosen = offers_[s.last];
  const auto room = 2 * affinity_us / chosen.credit.mean_us() - (stays ? difference() : 0);
  s.affinity = static_cast<std::uint32_t>(std::max(0.0, room * chosen.slots));
  return s.last;
}

bool node_selector::has_room(service_index which) const {
  return which < services_.size() &&
         !(services_[which].idle.empty() && services_[which].spare.empty());
}

std::uint32_t node_selector::slots_of(service_index which) const {
  return which < services_.size() ? services_[which].slots : 0;
}

bool node_selector::all_drained(service_index which) const {
  const auto& all = of_service(which);
  return !all.empty() && std::all_of(all.begin(), all.end(), [this](std::uint32_t index) {
    return offers_[index].is_closed_by(closed_by::drain);
  });
}

bool node_selector::all_failing(service_index which) const {
  if (which >= services_.size()) return false;
  const auto& s = services_[which];
  return s.failing > 0 && s.failing == s.offers.size();
}

void node_selector::set_failing(std::uint32_t index, bool failing) {
  auto& o = offers_[index];
  auto& s = services_[o.service];
  if (std::exchange(o.failing, failing) != failing) failing ? ++s.failing : --s.failing;
  reconsider(index);
}

void node_selector::rest(std::uint32_t index, instant now) {
  auto& o = offers_[index];
  if (o.resting) { // several that come back together are one reason
    o.rest_until = std::max(o.rest_until, now + first_rest);
    return;
  }
  o.rest = std::min(longest_rest, std::max(first_rest, 2 * o.rest));
  o.rest_until = now + o.rest;
  o.resting = true;
  reconsider(index);
}

void node_selector::end_rest(std::uint32_t index) {
  offers_[index].resting = false;
  reconsider(index);
}

void node_selector::place(request_table& all, std::uint32_t request, std::uint32_t to) {
  auto& o = offers_[to];
  all[request].stage = stage::placed;
  all[request].offer = to;
  o.placed.push_back(all, request);
  o.bytes += all[request].cost;
  reconsider(to);
}

void node_selector::unplace(request_table& all, std::uint32_t request) {
  const auto from = std::exchange(all[request].offer, no_index);
  auto& o = offers_[from];
  o.placed.remove(all, request);
  o.bytes -= all[request].cost;
  reconsider(from);
}

void node_selector::set_slots(std::uint32_t index, std::uint32_t slots) {
  auto& o = offers_[index];
  o.slots = std::min(slots, o.all_slots);
  o.credit.set_slots(o.slots);
  reconsider(index);
}

offer::room node_selector::room_of(std::uint32_t index) const {
  const auto& o = offers_[index];
  if (!o.in_use || (o.failing | o.closed | o.resting)) return offer::room::none;
  if (o.placed.size() < o.slots) return offer::room::idle;
  const bool has_credit = o.placed.size() < o.credit.allowed() && o.bytes < node_bytes_;
  return has_credit ? offer::room::spare : offer::room::none;
}

void node_selector::reconsider(std::uint32_t index) {
  set_room(index, room_of(index));
}

void node_selector::set_room(std::uint32_t index, offer::room to) {
  auto& o = offers_[index];
  if (o.in == to) return;
  auto& s = services_[o.service];
  auto members = [&s](offer::room r) -> std::vector<std::uint32_t>& {
    return r == offer::room::idle ? s.idle : s.spare;
  };
  if (o.in != offer::room::none) {
    auto& from = members(o.in);
    from[o.position] = from.back();
    offers_[from[o.position]].position = o.position;
    from.pop_back();
  }
  o.in = to;
  if (to != offer::room::none) {
    o.position = static_cast<std::uint32_t>(members(to).size());
    members(to).push_back(index);
  }
}

} // namespace ropewalk
