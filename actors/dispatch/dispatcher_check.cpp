#include "actors/dispatch/dispatcher.hpp"

#include <stdexcept>
#include <string>

/// What must hold between events. Walks through everything, so it is for tests and the simulator.
namespace ropewalk {

namespace {

void must(bool holds, const char* what) {
  if (!holds) throw std::logic_error{std::string{"dispatcher: "} + what};
}

// Walks a list of requests in both directions' sight; returns how many there are.
template <class F>
std::uint32_t walk(const request_table& all, const request_list& list, F&& each) {
  std::uint32_t count = 0;
  auto before = no_index;
  for (auto i = list.head(); i != no_index; before = i, i = all[i].next, ++count) {
    must(all[i].previous == before, "links go both ways");
    each(i, all[i]);
  }
  must(count == list.size() && before == list.tail(), "a list's count is its length");
  return count;
}

} // namespace

void dispatcher::check() const {
  std::size_t listed = 0;
  std::uint32_t all_waiting = 0;
  for (service_index which = 0; which < services_.size(); ++which) {
    const auto& s = services_[which];
    std::uint32_t waiting = 0;
    s.queue.for_each_list([&](const request_list& list) {
      waiting += walk(requests_, list, [&](std::uint32_t, const request& r) {
        must(r.stage == stage::fresh || r.stage == stage::returned || r.stage == stage::retry,
             "what is in a queue waits there");
        must(r.service == which && r.offer == no_index, "a waiting request is with no node");
        must(r.connection != no_index, "somebody waits for a waiting request");
      });
    });
    must(waiting == s.queue.size(), "a queue's count is that of its lists");
    std::uint32_t behind = 0;
    s.keys.for_each_list([&](const request_list& list) {
      behind += walk(requests_, list, [](std::uint32_t, const request& r) {
        must(r.stage == stage::behind_key && r.lane != no_index, "it waits behind its key");
      });
    });
    must(behind == s.keys.waiting(), "the count of those behind a key is that of the lists");
    must(s.queue.ready() <= s.queue.retries() || !offers_.has_room(which),
         "nothing that may go waits while an offer has room");
    listed += waiting + behind;
    all_waiting += waiting + behind;
  }
  std::uint32_t placed = 0;
  for (std::uint32_t i = 0; i < offers_.count(); ++i) {
    const auto& o = offers_[i];
    if (!o.in_use) continue;
    std::uint64_t bytes = 0;
    placed += walk(requests_, o.placed, [&](std::uint32_t, const request& r) {
      must(r.stage == stage::placed && r.offer == i, "a placed request knows its offer");
      bytes += r.cost;
    });
    must(o.in == offers_.room_of(i), "an offer is listed with the room that it has");
    must(bytes == o.bytes, "an offer's bytes are those of its requests");
    const auto max = o.all_slots * (1 + std::uint64_t{settings_.node_prefetch});
    must(o.placed.size() <= max, "no node has more than the most credit");
  }
  listed += placed;
  std::uint64_t held = 0;
  std::uint64_t with_a_client = 0;
  for (connection_index i = 0; i < connections_.size(); ++i) {
    std::uint32_t requests = 0;
    std::uint64_t bytes = 0;
    for (auto r = connections_[i].first; r != no_index;
         r = requests_[r].next_of_connection, ++requests) {
      must(requests_[r].connection == i, "a connection's request knows it");
      must(ids_.find(requests_, i, requests_[r].client_id, requests_[r].id_hash) == r,
           "it is found by its id");
      bytes += requests_[r].cost;
    }
    must(requests == connections_[i].requests && bytes == connections_[i].bytes,
         "a connection's counts are those of its requests");
    held += bytes;
    with_a_client += requests;
  }
  std::uint64_t of_services = 0;
  for (const auto& s : services_) of_services += s.bytes;
  must(held == totals_.held_bytes && held == of_services,
       "held bytes are those of the connections, and of the services");
  must(held <= settings_.memory, "the broker holds no more than it may");
  must(with_a_client == ids_.size(), "the table has the ids of those that wait for an answer");
  must(all_waiting == totals_.waiting && placed == totals_.placed,
       "the totals are those of the lists");
  must(listed + free_requests_.size() == requests_.size(), "every request is in one list or free");
}

} // namespace ropewalk
