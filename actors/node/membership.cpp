#include "actors/node/membership.hpp"

#include "actors/random/random_source.hpp"
#include "net/cluster/error_words.hpp"

#include <caf/all.hpp>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

using membership_pointer = caf::stateful_actor<membership_state>*;

// A broker that answers at all answers a join within this.
constexpr std::chrono::seconds join_timeout{5};

void end_of_attempt(membership_pointer self) {
  auto& state = self->state;
  state.joining = false;
  if (state.draining) self->send(state.settings.node, settled_atom_v, state.settings.me.shard);
}

void search_again(membership_pointer self, std::uint64_t round, const std::string& why) {
  auto& state = self->state;
  if (!state.joining || round != state.round) return; // of an attempt that was given up before
  end_of_attempt(self);
  if (state.draining) return;
  if (!std::exchange(state.logged_searching, true))
    spdlog::warn("no broker at {} ({}); trying again until there is one",
                 state.settings.broker.text(), why);
  self->delayed_send(self, state.timeout.next(), join_atom_v);
}

void joined(membership_pointer self, std::uint32_t number, const caf::actor& front,
            std::vector<std::uint16_t> ports) {
  auto& state = self->state;
  const auto& s = state.settings;
  state.front = front;
  state.settings.me.restarts = 0; // said once
  state.timeout.reset();
  state.logged_searching = false;
  self->monitor(front);
  self->send(s.gateway, attach_atom_v, s.me.shard, front, number);
  spdlog::info("joined the broker at {} as {}", s.broker.text(), s.me.name);
  self->send(s.node, joined_atom_v, s.me.shard, std::move(ports));
  end_of_attempt(self);
}

void ask_to_join(membership_pointer self, std::uint64_t round,
                 const caf::strong_actor_ptr& cluster) {
  auto& state = self->state;
  if (round != state.round) return;
  if (!cluster) return search_again(self, round, "the broker is starting, or going down");
  state.cluster = caf::actor_cast<caf::actor>(cluster);
  // CAF may hand out the actor of a broker that has just died, and drops a request to it in
  // silence; not so a monitor.
  self->monitor(state.cluster);
  self->request(state.cluster, join_timeout, join_atom_v, state.settings.me, state.settings.gateway)
      .then(
          [self, round](welcome_atom, std::uint32_t number, const caf::actor& front,
                        std::vector<std::uint16_t>& ports) {
            if (round == self->state.round) joined(self, number, front, std::move(ports));
          },
          [self, round](const caf::error& error) { search_again(self, round, words_of(error)); });
}

void join(membership_pointer self) {
  auto& state = self->state;
  if (state.draining) return;
  state.joining = true;
  state.cluster = nullptr; // the news that the last one is gone, too, is none of this attempt
  const auto round = ++state.round;
  const auto& broker = state.settings.broker;
  self->request(state.settings.transport, join_timeout, caf::connect_atom_v, broker.host,
                broker.port)
      .then([self, round](const caf::node_id&, const caf::strong_actor_ptr& cluster,
                          const std::set<std::string>&) { ask_to_join(self, round, cluster); },
            [self, round](const caf::error& error) { search_again(self, round, words_of(error)); });
}

void on_exit(membership_pointer self, const caf::down_msg& down) {
  auto& state = self->state;
  if (state.front && down.source == state.front) {
    spdlog::warn("the broker at {} is gone", state.settings.broker.text());
    state.front = nullptr;
    self->send(state.settings.gateway, detach_atom_v, state.settings.me.shard);
    return join(self);
  }
  if (state.joining && state.cluster && down.source == state.cluster)
    search_again(self, state.round, "the broker is gone");
}

} // namespace

caf::behavior membership(membership_pointer self, membership_settings settings) {
  auto& state = self->state;
  state.settings = std::move(settings);
  state.timeout = backoff{milliseconds{50}, milliseconds{1000}, unguessable_seed()};
  self->set_down_handler([self](caf::down_msg& down) { on_exit(self, down); });
  join(self);
  return {
      [self](join_atom) {
        if (!self->state.front) join(self);
      },
      [self](release_atom) {
        auto& s = self->state;
        if (!s.front) return;
        spdlog::info("the broker at {} goes down; looking for the next one",
                     s.settings.broker.text());
        self->demonitor(s.front);
        s.front = nullptr;
        self->send(s.settings.gateway, detach_atom_v, s.settings.me.shard);
        join(self);
      },
      [self](drain_atom) {
        auto& s = self->state;
        s.draining = true;
        if (!s.joining) end_of_attempt(self);
      },
  };
}

} // namespace ropewalk
