#pragma once

#include "actors/dispatch/credit.hpp"
#include "actors/dispatch/index_pool.hpp"
#include "actors/dispatch/request.hpp"
#include "actors/random/random_source.hpp"
#include "actors/time/instant.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ropewalk {

/// Why an offer gets no work, whatever room it has. There may be several reasons, each of which ends
/// by itself.
enum class closed_by : std::uint8_t {
  node = 1,  ///< it is lost, or drains
  drain = 2, ///< somebody drains the node (dispatcher::set_drained)
  pause = 4, ///< somebody has paused the service
};

/// One service as one node runs it.
struct offer {
  node_number node = no_index;
  service_index service = no_index;
  std::uint16_t index = 0; ///< in the node's own list of services
  std::uint32_t slots = 0; ///< that live
  std::uint32_t all_slots = 0;
  std::uint32_t min_slots = 0; ///< of a range: those beyond come and go; 0: there is none
  ropewalk::credit credit{0, 0, microseconds{0}};
  request_list placed; ///< in the order of placing
  std::uint64_t bytes = 0;
  std::uint64_t answered = 0; ///< messages that came to an end there
  std::uint64_t failed = 0;   ///< of these, those whose handler said that it failed
  bool failing = false;       ///< its pool restarts too often
  std::uint8_t closed = 0;    ///< reasons (closed_by); 0: it is open
  bool in_use = false;

  /// It gave something back unstarted: nothing goes there until then, unless one of its messages
  /// comes to an end before. The pause doubles while that does not happen.
  bool resting = false;
  instant rest_until{};
  milliseconds rest{0};

  /// Whether it takes work, and what kind of room it has for it.
  enum class room : std::uint8_t {
    none,
    spare, ///< no free slot, but credit ahead of one
    idle,  ///< a free slot
  };
  room in = room::none;
  std::uint32_t position = 0; ///< in its service's list of that room

  /// Messages that a slot has, on average.
  [[nodiscard]] double load() const {
    return static_cast<double>(placed.size()) / std::max(slots, 1u);
  }

  [[nodiscard]] bool is_closed_by(closed_by reason) const {
    return (closed & static_cast<std::uint8_t>(reason)) != 0;
  }
};

/// Every node's offers: who has room for a service's next request.
class node_selector {
public:
  /// The first pause of an offer that gave something back, and the longest: a slot that is held up
  /// by what this dispatcher does not know of may be free again soon, or not.
  static constexpr milliseconds first_rest{20};
  static constexpr milliseconds longest_rest{160};

  node_selector(std::uint64_t node_bytes, std::uint64_t seed)
      : node_bytes_(node_bytes), random_(seed * 0x9e3779b97f4a7c15) {}

  /// Adds to what the node offers; returns the offer's index.
  std::uint32_t add(node_number node, service_index service, std::uint32_t slots,
                    const ropewalk::credit& credit);

  /// The node's offers take no more work: it is lost, or drains.
  void close(node_number node);

  /// Somebody drains the node, or lets it work again.
  void set_drained(node_number node, bool drained);

  /// Somebody has paused the service, whoever offers it now and later, or lets it go on.
  void set_paused(service_index service, bool paused);
  [[nodiscard]] bool is_paused(service_index service) const {
    return service < services_.size() && services_[service].paused;
  }

  /// Who offers a service, whether or not it takes work now.
  [[nodiscard]] const std::vector<std::uint32_t>& of_service(service_index service) const;

  /// Forgets the offers of a node that is lost; nothing may be placed with them any more.
  void remove_all(node_number node);

  /// An offer for the next request of this service: one with a free slot if there is one, else one
  /// with credit ahead, the less loaded of two picked at random, or the one that was chosen last if
  /// that is about as good; no_index if there is none.
  [[nodiscard]] std::uint32_t choose(service_index service, connection_index whose);

  void place(request_table& all, std::uint32_t request, std::uint32_t offer);
  void unplace(request_table& all, std::uint32_t request);

  /// So many of its slots live; never more than it was added with.
  void set_slots(std::uint32_t offer, std::uint32_t slots);

  /// Its pool restarts too often, or works again.
  void set_failing(std::uint32_t offer, bool failing);

  /// It gave something back: see `offer::resting`.
  void rest(std::uint32_t offer, instant now);

  /// One of its messages came to an end, or its pause did.
  void end_rest(std::uint32_t offer);

  offer& operator[](std::uint32_t index) { return offers_[index]; }
  const offer& operator[](std::uint32_t index) const { return offers_[index]; }
  [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(offers_.size()); }

  /// What a node offers, in its own order; nothing of one that is not there (any more).
  [[nodiscard]] const std::vector<std::uint32_t>& of_node(node_number node) const;

  /// What room an offer has now, by its counts; `in` says where it is listed.
  [[nodiscard]] offer::room room_of(std::uint32_t offer) const;
  [[nodiscard]] bool has_room(service_index service) const;
  [[nodiscard]] std::uint32_t slots_of(service_index service) const;

  /// True if a node is there that offers this service, whether or not it takes work now.
  [[nodiscard]] bool is_offered(service_index which) const {
    return which < services_.size() && !services_[which].offers.empty();
  }

  /// True if there are offers of this service, and all of them are of nodes that somebody drains.
  [[nodiscard]] bool all_drained(service_index service) const;

  /// True if there are offers of this service, and all of them are failing.
  [[nodiscard]] bool all_failing(service_index service) const;

private:
  struct service {
    std::vector<std::uint32_t> offers; // all
    std::vector<std::uint32_t> idle;
    std::vector<std::uint32_t> spare;
    std::uint32_t slots = 0;
    std::uint32_t failing = 0;             // offers
    std::uint32_t last = no_index;         // to whom the last request went
    connection_index last_from = no_index; // whose that was
    std::uint32_t affinity = 0; // so many more of the same client's go there without another look
    bool paused = false;
  };

  service& service_at(service_index which);
  void close(std::uint32_t offer, closed_by reason, bool closed);
  void reconsider(std::uint32_t offer);
  void set_room(std::uint32_t offer, offer::room to);
  [[nodiscard]] std::uint32_t better_of_two(const std::vector<std::uint32_t>& candidates);

  std::uint64_t node_bytes_;
  random_source random_;
  std::vector<offer> offers_;
  index_pool free_;
  std::unordered_map<node_number, std::vector<std::uint32_t>> nodes_;
  std::vector<service> services_;
};

} // namespace ropewalk
