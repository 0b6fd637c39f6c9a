#include "actors/node/node.hpp"

#include "actors/handlers/handler.hpp"
#include "actors/node/gateway.hpp"
#include "actors/node/pool.hpp"
#include "actors/node/slot.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <random>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace ropewalk {

namespace {

using self_pointer = caf::stateful_actor<node_state>*;

// A broker that answers at all answers a join within this.
constexpr std::chrono::seconds join_patience{5};

void join(self_pointer self);

void start_pool(self_pointer self, std::uint16_t service) {
  auto& state = self->state;
  state.pools[service] =
      state.parts.start_pool(self, service, state.queues[service], state.gateway);
  self->monitor(state.pools[service]);
}

void give_up(self_pointer self, const std::string& why) {
  spdlog::error("{}", why);
  self->quit(caf::make_error(caf::sec::runtime_error, why));
}

void tell_master(self_pointer self, std::string_view line) {
  if (self->state.settings.master_fd < 0) return;
  if (::write(self->state.settings.master_fd, line.data(), line.size()) < 0)
    spdlog::warn("the master does not listen any more");
}

void search_again(self_pointer self, std::uint64_t round, const std::string& why) {
  auto& state = self->state;
  if (!state.joining || round != state.join_round) return; // of an attempt that was given up before
  state.joining = false;
  if (state.draining) return self->send(self, drained_atom_v);
  if (!std::exchange(state.told_searching, true))
    spdlog::warn("no broker at {} ({}); trying again until there is one",
                 state.settings.broker.text(), why);
  self->delayed_send(self, state.patience.next(), join_atom_v);
}

void joined(self_pointer self, std::uint32_t number, const caf::actor& front) {
  auto& state = self->state;
  state.front = front;
  state.joining = false;
  state.settings.restarts_before = 0; // said once
  state.patience.reset();
  state.told_searching = false;
  self->monitor(front);
  self->send(state.gateway, attach_atom_v, front, number);
  spdlog::info("joined the broker at {} as {}", state.settings.broker.text(), state.settings.name);
  tell_master(self, "joined\n");
  if (state.draining) self->send(state.gateway, drain_atom_v);
}

void ask_to_join(self_pointer self, std::uint64_t round, const caf::strong_actor_ptr& cluster) {
  auto& state = self->state;
  if (round != state.join_round) return;
  if (!cluster) return search_again(self, round, "it is no Ropewalk broker");
  state.cluster = caf::actor_cast<caf::actor>(cluster);
  // CAF may hand out the actor of a broker that has just died, and drops a request to it in
  // silence; not so a monitor.
  self->monitor(state.cluster);
  node_description me;
  me.name = state.settings.name;
  me.pid = static_cast<std::uint32_t>(::getpid());
  me.host = state.settings.host;
  me.restarts = state.settings.restarts_before;
  for (const auto& service : state.settings.services)
    me.services.push_back({service.name, state.settings.slots});
  self->request(state.cluster, join_patience, join_atom_v, std::move(me), state.gateway)
      .then(
          [self, round](welcome_atom, std::uint32_t number, const caf::actor& front) {
            if (round == self->state.join_round) joined(self, number, front);
          },
          [self, round](const caf::error& error) {
            search_again(self, round, caf::to_string(error));
          });
}

void join(self_pointer self) {
  auto& state = self->state;
  if (state.draining) return;
  state.joining = true;
  const auto round = ++state.join_round;
  const auto& broker = state.settings.broker;
  self->request(state.parts.door, join_patience, caf::connect_atom_v, broker.host, broker.port)
      .then([self, round](const caf::node_id&, const caf::strong_actor_ptr& cluster,
                          const std::set<std::string>&) { ask_to_join(self, round, cluster); },
            [self, round](const caf::error& error) {
              search_again(self, round, caf::to_string(error));
            });
}

void fell(self_pointer self, const caf::down_msg& down) {
  auto& state = self->state;
  if (state.front && down.source == state.front) {
    spdlog::warn("the broker at {} is gone", state.settings.broker.text());
    state.front = nullptr;
    self->send(state.gateway, detach_atom_v);
    return join(self);
  }
  if (state.joining && state.cluster && down.source == state.cluster)
    return search_again(self, state.join_round, "the broker is gone");
  if (down.source == state.gateway)
    return give_up(self, "the gateway fell: " + caf::to_string(down.reason));
  const auto found = std::find(state.pools.begin(), state.pools.end(), down.source);
  if (found == state.pools.end()) return;
  *found = nullptr;
  const auto service = static_cast<std::uint16_t>(found - state.pools.begin());
  self->send(state.gateway, failing_atom_v, service, true);
  const auto pause = state.policy.fell(self->clock().now());
  if (!pause)
    return give_up(self, "service " + state.settings.services[service].name + " keeps failing (" +
                             caf::to_string(down.reason) + "); this node gives up");
  self->delayed_send(self, *pause, again_atom_v, service);
}

} // namespace

node_parts standard_node_parts(const node_settings& settings, caf::actor door, shared_loop& loop) {
  node_parts parts;
  parts.door = std::move(door);
  parts.start_gateway = [settings, &loop](caf::event_based_actor* self, const run_queues& queues) {
    caf::actor_config config{&loop};
    return self->system().spawn_class<gateway, caf::no_spawn_options>(
        config, queues, caf::actor{self}, settings.recycle_after, &loop);
  };
  parts.start_pool = [settings, &loop](caf::event_based_actor* self, std::uint16_t service,
                                       const std::shared_ptr<run_queue>& queue,
                                       const caf::actor& gateway) {
    const auto& offered = settings.services[service];
    pool_settings p;
    p.service = service;
    p.slots = settings.slots;
    p.name = offered.name;
    p.restarts = settings.restarts;
    p.start_slot = [offered, queue, gateway, &loop, bytes = settings.max_message_bytes](
                       caf::event_based_actor* pool, std::uint32_t number) {
      slot_settings s{offered.name, queue, queue->take_seat(number), gateway, &loop, bytes};
      return caf::actor{pool->spawn<caf::monitored + caf::detached>(
          slot, std::move(s), make_handler(offered.handler, bytes))};
    };
    return caf::actor{self->spawn(pool, std::move(p), gateway)};
  };
  return parts;
}

caf::behavior node(self_pointer self, node_settings settings, node_parts parts) {
  auto& state = self->state;
  state.settings = std::move(settings);
  state.parts = std::move(parts);
  state.patience = backoff{milliseconds{50}, milliseconds{1000}, std::random_device{}()};
  // A pool has had its restarts before its fall counts here: the second fall within its window is
  // one too many.
  auto restarts = state.settings.restarts;
  restarts.restarts = 1;
  restarts.first_pause = milliseconds{1000};
  restarts.window *= 2;
  state.policy = restart_policy{restarts};
  for (std::size_t i = 0; i < state.settings.services.size(); ++i)
    state.queues.push_back(std::make_shared<run_queue>(state.settings.slots));
  state.gateway = state.parts.start_gateway(self, state.queues);
  self->monitor(state.gateway);
  self->set_down_handler([self](caf::down_msg& down) { fell(self, down); });
  state.pools.resize(state.settings.services.size());
  const auto services = static_cast<std::uint16_t>(state.settings.services.size());
  for (std::uint16_t i = 0; i < services; ++i) start_pool(self, i);
  join(self);
  return {
      [self](join_atom) { join(self); },
      [self](again_atom, std::uint16_t service) {
        start_pool(self, service);
        self->send(self->state.gateway, failing_atom_v, service, false);
      },
      [self](drain_atom) {
        if (std::exchange(self->state.draining, true)) return;
        spdlog::info("draining: what runs may finish within {} ms",
                     self->state.settings.drain_time.count());
        if (!self->state.joining) self->send(self->state.gateway, drain_atom_v);
        self->delayed_send(self, self->state.settings.drain_time, drained_atom_v);
      },
      [self](recycle_atom) {
        spdlog::info("{} messages are enough: asking the master for a replacement",
                     self->state.settings.recycle_after);
        tell_master(self, "recycle\n");
      },
      [](reload_atom) {}, // a node reads its certificates when it starts
      [self](drained_atom) {
        spdlog::info("drained");
        self->quit(caf::exit_reason::user_shutdown);
      },
  };
}

} // namespace ropewalk
