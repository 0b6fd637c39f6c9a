#include "actors/node/node.hpp"

#include "actors/handlers/program_line.hpp"
#include "actors/handlers/server.hpp"
#include "actors/node/failure_log.hpp"
#include "actors/node/gateway.hpp"
#include "actors/node/membership.hpp"
#include "actors/node/own_actor_pool.hpp"
#include "actors/node/pool.hpp"
#include "actors/node/process_pool.hpp"
#include "actors/node/slot.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace ropewalk {

namespace {

using node_pointer = caf::stateful_actor<node_state>*;

void start_pool(node_pointer self, std::uint16_t service) {
  auto& state = self->state;
  state.pools[service] =
      state.dependencies.start_pool(self, service, state.queues[service], state.gateway);
  self->monitor(state.pools[service]);
}

void give_up(node_pointer self, const std::string& why) {
  spdlog::error("{}", why);
  self->quit(caf::make_error(caf::sec::runtime_error, why));
}

void tell_master(node_pointer self, std::string_view line) {
  if (self->state.settings.master_fd < 0) return;
  if (::write(self->state.settings.master_fd, line.data(), line.size()) < 0)
    spdlog::warn("the master does not listen any more");
}

void join(node_pointer self, std::uint16_t shard, std::uint16_t port) {
  auto& state = self->state;
  const auto& s = state.settings;
  membership_settings m;
  m.broker = {s.broker.host, port};
  m.me.name = s.name;
  m.me.pid = static_cast<std::uint32_t>(::getpid());
  m.me.host = s.host;
  m.me.shard = shard;
  m.me.restarts = shard == 0 ? s.restarts_before : 0; // counts once in all
  for (const auto& service : s.services)
    m.me.services.push_back({service.name, s.slots_of(service), service.options.min_slots});
  m.transport = state.dependencies.transport;
  m.node = self;
  m.gateway = state.gateway;
  state.members[shard] = {self->spawn<caf::monitored>(membership, std::move(m)), port};
}

void part(node_pointer self, std::uint16_t shard) {
  auto& member = self->state.members[shard];
  self->demonitor(member.membership);
  self->send_exit(member.membership, caf::exit_reason::user_shutdown);
  self->send(self->state.gateway, detach_atom_v, shard);
}

// The first shard has let this node in, and says where all of them are.
void join_others(node_pointer self, const std::vector<std::uint16_t>& ports) {
  auto& members = self->state.members;
  while (members.size() > std::max<std::size_t>(ports.size(), 1)) {
    part(self, static_cast<std::uint16_t>(members.size() - 1));
    members.pop_back();
  }
  for (std::size_t i = 1; i < ports.size(); ++i) {
    const auto shard = static_cast<std::uint16_t>(i);
    if (i < members.size()) {
      if (members[i].port == ports[i]) continue;
      part(self, shard);
    } else {
      members.emplace_back();
    }
    join(self, shard, ports[i]);
  }
}

void joined(node_pointer self, std::uint16_t shard, const std::vector<std::uint16_t>& ports) {
  auto& state = self->state;
  if (shard >= state.members.size()) return; // a membership that was just ended
  state.members[shard].joined = true;
  if (shard == 0)
    self->send(state.gateway, joined_atom_v,
               static_cast<std::uint32_t>(std::max<std::size_t>(ports.size(), 1)));
  if (shard == 0 && !state.draining) join_others(self, ports);
  if (!std::all_of(state.members.begin(), state.members.end(), [](auto& m) { return m.joined; }))
    return;
  if (!std::exchange(state.was_joined, true) && state.dependencies.owner)
    self->send(state.dependencies.owner, ready_atom_v);
  tell_master(self, "joined\n");
}

// What is ready at once, and what takes its time.
bool starts_slowly(const service_settings& service) {
  return service.handler.stays_up.has_value();
}

void service_ready(node_pointer self) {
  auto& state = self->state;
  if (state.not_ready > 0 && --state.not_ready == 0 && !state.draining)
    join(self, 0, state.settings.broker.port);
}

void service_failing(node_pointer self, std::uint16_t service, const std::string& why) {
  auto& state = self->state;
  if (state.not_ready > 0 && state.dependencies.owner)
    self->send(state.dependencies.owner, failing_atom_v, state.settings.services[service].name,
               why);
}

void settled(node_pointer self, std::uint16_t shard) {
  auto& members = self->state.members;
  if (shard >= members.size()) return;
  members[shard].settled = true;
  if (std::all_of(members.begin(), members.end(), [](auto& m) { return m.settled; }))
    self->send(self->state.gateway, drain_atom_v);
}

// Its process goes on, and it leaves nothing there.
void end_replaced(node_pointer self) {
  auto& state = self->state;
  for (const auto& queue : state.queues)
    for (std::uint32_t slot = 0; slot < queue->slots(); ++slot)
      queue->take_seat(slot, leader_id::nobody); // who leads at the loop looks up
  for (const auto& pool : state.pools)
    if (pool) self->send_exit(pool, caf::exit_reason::user_shutdown);
  for (const auto& m : state.members)
    if (m.membership) self->send_exit(m.membership, caf::exit_reason::user_shutdown);
  self->send_exit(state.gateway, caf::exit_reason::user_shutdown);
  spdlog::info("what was replaced has drained");
  self->quit(caf::exit_reason::user_shutdown);
}

void leave(node_pointer self) {
  if (self->state.replaced) return end_replaced(self);
  spdlog::info("drained");
  self->quit(caf::exit_reason::user_shutdown);
}

void on_exit(node_pointer self, const caf::down_msg& down) {
  auto& state = self->state;
  if (down.source == state.gateway)
    return give_up(self, "the gateway fell: " + caf::to_string(down.reason));
  if (std::any_of(state.members.begin(), state.members.end(),
                  [&](auto& m) { return m.membership == down.source; }))
    return give_up(self, "a membership fell: " + caf::to_string(down.reason));
  const auto found = std::find(state.pools.begin(), state.pools.end(), down.source);
  if (found == state.pools.end()) return;
  *found = nullptr;
  const auto service = static_cast<std::uint16_t>(found - state.pools.begin());
  self->send(state.gateway, failing_atom_v, service, true);
  const auto pause = state.policy.on_exit(self->clock().now());
  if (!pause)
    return give_up(self, "service " + state.settings.services[service].name + " keeps failing (" +
                             caf::to_string(down.reason) + "); this node gives up");
  self->delayed_send(self, *pause, again_atom_v, service);
}

caf::actor start_process_pool(caf::event_based_actor& self, const node_settings& settings,
                              std::uint16_t service, const std::shared_ptr<run_queue>& queue,
                              const caf::actor& gateway, shared_loop& loop) {
  const auto& offered = settings.services[service];
  process_pool_settings p;
  p.service = service;
  p.slots = settings.slots_of(offered);
  p.restarts = settings.restarts;
  p.process = {offered.name, 0, *offered.handler.stays_up, offered.options,
               settings.max_message_bytes};
  p.process.is_server = offered.handler.is_server;
  set_surroundings(p.process.what, offered.options.around);
  const auto& server = offered.options.server;
  if (offered.handler.is_server)
    secure_relay(p.process.what, server.authority, server.certificate, server.key, server.token);
  caf::actor_config config{&loop};
  return self.system().spawn_class<process_pool, caf::no_spawn_options>(
      config, std::move(p), queue, gateway, caf::actor{&self}, &loop);
}

caf::actor start_own_actors(caf::event_based_actor& self, const node_settings& settings,
                            std::uint16_t service, const std::shared_ptr<run_queue>& queue,
                            const caf::actor& gateway) {
  const auto& offered = settings.services[service];
  return self.spawn<own_actor_pool>(
      own_actor_pool::settings{service, offered.name, settings.slots_of(offered),
                               settings.max_message_bytes, offered.options.stop_timeout,
                               offered.options.retry_failed, settings.restarts,
                               offered.handler.actors},
      queue, gateway, caf::actor{&self});
}

void replace_for(node_pointer self, const std::string& why) {
  if (self->state.settings.master_fd < 0)
    return spdlog::warn("{}: with --processes its process would be replaced", why);
  spdlog::warn("asking the master for a replacement of this process: {}", why);
  tell_master(self, "recycle\n");
}

// Of code in this process: what hangs there can only be ended with the process.
hang_settings hangs_of(caf::event_based_actor* self, const service_settings& offered,
                       const std::shared_ptr<run_queue>& queue) {
  return {offered.options.stop_timeout,
          [queue](std::uint32_t slot) { return queue->unwanted_run(slot); },
          [queue](std::uint32_t slot) { queue->take_seat(slot, leader_id::nobody); },
          [node = caf::actor_cast<caf::weak_actor_ptr>(self)](const std::string& why) {
            if (const auto strong = caf::actor_cast<caf::actor>(node))
              caf::anon_send(strong, recycle_atom_v, why);
          }};
}

// Programs that stay up are started anew from what is on the disk now.
void reload(node_pointer self) {
  auto& state = self->state;
  std::string names;
  for (std::size_t i = 0; i < state.pools.size() && !state.draining; ++i) {
    const auto& service = state.settings.services[i];
    if (!service.handler.stays_up || !state.pools[i]) continue;
    self->send(state.pools[i], reload_atom_v);
    names += (names.empty() ? "" : ", ") + service.name;
  }
  if (names.empty())
    spdlog::info("SIGHUP: a worker has nothing to reload");
  else
    spdlog::info("SIGHUP: the processes of {} are replaced by fresh ones", names);
}

// What stays up may come to its end by itself, before the process that starts programs ends it.
void stop_processes(node_pointer self) {
  auto& state = self->state;
  for (std::size_t i = 0; i < state.pools.size(); ++i) {
    const auto& service = state.settings.services[i];
    if (!service.handler.stays_up || !state.pools[i]) continue;
    ++state.stopping;
    const auto stopped = [self] {
      if (--self->state.stopping == 0) leave(self);
    };
    self->request(state.pools[i], service.options.stop_timeout + milliseconds{1000}, drain_atom_v)
        .then([stopped](drained_atom) { stopped(); }, [stopped](const caf::error&) { stopped(); });
  }
  if (state.stopping == 0) leave(self);
}

void drain_node(node_pointer self) {
  auto& state = self->state;
  if (std::exchange(state.draining, true)) return;
  bool joins = false;
  for (const auto& m : state.members) {
    if (!m.membership) continue; // it had not come to that
    joins = true;
    self->send(m.membership, drain_atom_v);
  }
  if (!joins) self->send(state.gateway, drain_atom_v);
}

} // namespace

node_dependencies default_node_dependencies(const node_settings& settings, caf::actor transport,
                                            shared_loop& loop) {
  node_dependencies dependencies;
  dependencies.transport = std::move(transport);
  dependencies.lease = std::make_shared<start_lease>();
  dependencies.start_gateway = [settings, &loop, lease = dependencies.lease](
                                   caf::event_based_actor* self, const run_queues& queues) {
    caf::actor_config config{&loop};
    return self->system().spawn_class<gateway, caf::no_spawn_options>(
        config, queues, lease, caf::actor{self}, settings.recycle_after, &loop);
  };
  dependencies.start_pool = [settings, &loop, lease = dependencies.lease](
                                caf::event_based_actor* self, std::uint16_t service,
                                const std::shared_ptr<run_queue>& queue,
                                const caf::actor& gateway) {
    const auto& offered = settings.services[service];
    if (offered.handler.stays_up)
      return start_process_pool(*self, settings, service, queue, gateway, loop);
    if (offered.handler.actors) return start_own_actors(*self, settings, service, queue, gateway);
    pool_settings p;
    p.service = service;
    p.slots = settings.slots_of(offered);
    p.name = offered.name;
    p.restarts = settings.restarts;
    p.start_slot = [offered, queue, gateway, &loop, lease, bytes = settings.max_message_bytes,
                    failures = std::make_shared<start_failures>()](caf::event_based_actor* pool,
                                                                   std::uint32_t number) {
      slot_settings s{offered.name,
                      queue,
                      queue->take_seat(number, loop.enlist()),
                      gateway,
                      &loop,
                      bytes,
                      lease,
                      failures,
                      offered.options.timeout,
                      offered.options.retry_failed};
      return caf::actor{pool->spawn<caf::monitored + caf::detached>(
          slot, std::move(s),
          make_handler(offered.handler, {bytes, offered.options.around, offered.name}))};
    };
    p.message_in = [queue](std::uint32_t slot) { return queue->message_in(slot); };
    if (offered.handler.runs_in_node) p.hangs = hangs_of(self, offered, queue);
    return caf::actor{self->spawn(pool, std::move(p), gateway)};
  };
  return dependencies;
}

caf::behavior node(node_pointer self, node_settings settings, node_dependencies dependencies) {
  auto& state = self->state;
  state.settings = std::move(settings);
  state.dependencies = std::move(dependencies);
  // A pool has had its restarts before its fall counts here: the second fall within its window is
  // one too many.
  auto restarts = state.settings.restarts;
  restarts.restarts = 1;
  restarts.first_pause = milliseconds{1000};
  restarts.window *= 2;
  state.policy = restart_policy{restarts};
  const auto failures = std::make_shared<shared_log_rate_limiter>();
  for (const auto& service : state.settings.services) {
    state.queues.push_back(std::make_shared<run_queue>(
        state.settings.slots_of(service), state.dependencies.lease,
        service.handler.is_attended_to() ? run_queue::slots_are::attended_to
                                         : run_queue::slots_are::threads));
    state.queues.back()->watch_failures(
        log_failures_of(service.name, state.settings.name, failures));
  }
  state.gateway = state.dependencies.start_gateway(self, state.queues);
  self->monitor(state.gateway);
  self->set_down_handler([self](caf::down_msg& down) { on_exit(self, down); });
  state.pools.resize(state.settings.services.size());
  const auto services = static_cast<std::uint16_t>(state.settings.services.size());
  for (std::uint16_t i = 0; i < services; ++i) start_pool(self, i);
  state.members.resize(1);
  if (state.settings.succeeds)
    state.not_ready = static_cast<std::uint32_t>(std::count_if(
        state.settings.services.begin(), state.settings.services.end(), starts_slowly));
  if (state.not_ready == 0) join(self, 0, state.settings.broker.port);
  return {
      [self](joined_atom, std::uint16_t shard, const std::vector<std::uint16_t>& ports) {
        joined(self, shard, ports);
      },
      [self](settled_atom, std::uint16_t shard) { settled(self, shard); },
      [self](again_atom, std::uint16_t service) {
        start_pool(self, service);
        self->send(self->state.gateway, failing_atom_v, service, false);
      },
      [self](ready_atom, std::uint16_t) { service_ready(self); },
      [self](failing_atom, std::uint16_t service, const std::string& why) {
        service_failing(self, service, why);
      },
      [self](release_atom) {
        self->state.replaced = true;
        drain_node(self);
      },
      [self](drain_atom) {
        if (self->state.draining && !self->state.replaced) return;
        self->state.replaced = false;
        drain_node(self);
        spdlog::info("draining: what runs may finish within {} ms",
                     self->state.settings.drain_time.count());
        self->delayed_send(self, self->state.settings.drain_time, drained_atom_v);
      },
      [self](recycle_atom) {
        spdlog::info("{} messages are enough: asking the master for a replacement",
                     self->state.settings.recycle_after);
        tell_master(self, "recycle\n");
      },
      [self](recycle_atom, const std::string& why) { replace_for(self, why); },
      [self](reload_atom) { reload(self); },
      [self](drained_atom) {
        if (std::exchange(self->state.drained, true)) return; // in time, or because it is over
        stop_processes(self);
      },
  };
}

} // namespace ropewalk
