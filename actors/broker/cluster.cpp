#include "actors/broker/cluster.hpp"

#include "net/cluster/error_words.hpp"
#include "net/protocol/limits.hpp"

#include <algorithm>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

bool makes_sense(const node_description& d) {
  return !d.services.empty() && d.services.size() <= limits::max_services &&
         std::all_of(d.services.begin(), d.services.end(), [](const offered_service& s) {
           return !s.name.empty() && s.name.size() <= limits::max_service_bytes && s.slots > 0 &&
                  s.slots <= limits::max_slots && s.min_slots <= s.slots;
         });
}

} // namespace

caf::behavior cluster(caf::stateful_actor<cluster_state>* self, caf::actor front,
                      std::shared_ptr<const shard_group> group) {
  self->state.front = std::move(front);
  self->state.group = std::move(group);
  self->set_down_handler([self](caf::down_msg& down) {
    const auto found = self->state.nodes.find(down.source);
    if (found == self->state.nodes.end()) return;
    self->send(self->state.front, lost_atom_v, found->second.number, words_of(down.reason));
    self->state.nodes.erase(found);
  });
  return {
      [self](join_atom, node_description& description, const caf::actor& gateway) {
        // Before the promise, which takes the sender.
        auto membership = caf::actor_cast<caf::actor>(self->current_sender());
        auto promise = self->make_response_promise();
        if (!makes_sense(description) || !gateway) {
          promise.deliver(
              caf::make_error(caf::sec::invalid_argument,
                              "a node must offer services with names and slots within limits"));
          return;
        }
        auto ports = self->state.group->ports();
        if (!ports) {
          promise.deliver(
              caf::make_error(caf::sec::invalid_argument, "the broker is still starting"));
          return;
        }
        const auto front = self->state.front;
        self->request(front, caf::infinite, admit_atom_v, std::move(description), gateway)
            .then(
                [self, promise, front, gateway, membership = std::move(membership),
                 ports = std::move(*ports)](std::uint32_t node) mutable {
                  if (front != self->state.front) {
                    promise.deliver(caf::make_error(caf::sec::invalid_argument,
                                                    "the broker has just restarted"));
                    return;
                  }
                  self->monitor(gateway);
                  self->state.nodes.insert_or_assign(gateway.address(),
                                                     cluster_state::node{node, membership});
                  promise.deliver(welcome_atom_v, node, front, std::move(ports));
                },
                [promise](caf::error& error) mutable { promise.deliver(std::move(error)); });
      },
      [self](release_atom, std::uint32_t number) {
        auto& nodes = self->state.nodes;
        const auto found = std::find_if(nodes.begin(), nodes.end(), [number](const auto& each) {
          return each.second.number == number;
        });
        if (found == nodes.end()) return;
        self->demonitor(found->first);
        self->send(found->second.membership, release_atom_v);
        nodes.erase(found);
      },
      [self](new_front_atom, caf::actor& front) {
        self->state.front = std::move(front);
        self->state.nodes.clear();
      },
  };
}

caf::behavior join_acceptor(caf::event_based_actor* self, caf::actor cluster) {
  return {[self, cluster](join_atom what, node_description& description, caf::actor& gateway) {
    return self->delegate(cluster, what, std::move(description), std::move(gateway));
  }};
}

} // namespace ropewalk
