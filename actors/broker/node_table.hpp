#pragma once

#include "actors/broker/shard_group.hpp"
#include "actors/dispatch/dispatcher.hpp"
#include "actors/messages.hpp"
#include "actors/stats/broker_report.hpp"
#include "net/protocol/batch.hpp"

#include <caf/actor.hpp>
#include <caf/io/broker.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ropewalk {

/// The nodes that are members, what they say of themselves, and what goes to each of them when the
/// turn ends: one message with its work, one with what is taken back.
class node_table {
public:
  struct member {
    node_description description;
    caf::actor gateway;
    batch_builder work;
    std::vector<attempt_ref> withdrawn;
    bool dirty = false;
  };

  /// Messages are sent in the name of `self`.
  node_table(caf::io::broker& self, dispatcher& work, shard_place shard)
      : self_(self), dispatcher_(work), shard_(std::move(shard)) {}

  /// Null if it is gone: a number is never another's.
  [[nodiscard]] member* find(node_number number) {
    const auto found = members_.find(number);
    return found == members_.end() ? nullptr : &found->second;
  }

  // -- what a node, or its connection, says: of one that is gone nothing is taken -------------------

  node_number join(node_description description, caf::actor gateway, instant now);
  void lose(node_number which, const std::string& why, instant now);
  void leave(node_number which, instant now);
  /// The broker drains: lets go those nodes that have nothing to do, and returns their numbers.
  std::vector<node_number> release_idle(instant now);
  void retire(node_number which, instant now);
  void set_slots(node_number which, std::uint16_t service, std::uint32_t live, instant now);
  void set_failing(node_number which, std::uint16_t service, bool failing, instant now);
  /// The node with this gateway (node_report::gateway) is drained by somebody, or let work again.
  void set_drained(const std::string& gateway, bool drained, instant now);
  void count_restarts(std::uint32_t count) { restarts_ += count; }

  // -- what nodes are told --------------------------------------------------------------------------

  /// That nothing more will come, and that it is a member still. All that was decided before is to
  /// have been sent.
  void confirm_retired(node_number which);
  void confirm_lease(node_number which, std::uint64_t asked, instant now);

  /// How many requests wait for one of its services.
  void tell_waiting(node_number which, std::uint16_t service);

  /// Takes the withdrawals out of the actions.
  void carry_out(actions& decided);

  /// Sends what collected, and what was placed: that counts as with its node from here on.
  void flush(instant now);
  [[nodiscard]] bool has_unsent() const { return !dirty_.empty() || dispatcher_.has_placed(); }

  [[nodiscard]] std::vector<node_report> report() const;
  [[nodiscard]] std::uint64_t restarts() const { return restarts_; }

private:
  void touch(node_number number, member& which) {
    if (!std::exchange(which.dirty, true)) dirty_.push_back(number);
  }
  void take_placed(instant now);
  void warn_unoffered(const node_description& lost) const;
  void warn_of_namesake(const node_description& who) const;

  caf::io::broker& self_;
  dispatcher& dispatcher_;
  const shard_place shard_;
  std::unordered_map<node_number, member> members_;
  std::vector<node_number> dirty_;
  std::uint64_t restarts_ = 0;
};

} // namespace ropewalk
