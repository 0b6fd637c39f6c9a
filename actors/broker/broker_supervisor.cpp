#include "actors/broker/broker_supervisor.hpp"

#include "actors/broker/certificate_watch.hpp"
#include "actors/broker/cluster.hpp"
#include "actors/broker/front.hpp"
#include "net/cluster/error_words.hpp"
#include "net/cluster/shared_loop.hpp"

#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

// The transport does not wait for anybody to close a port.
constexpr std::chrono::seconds close_timeout{1};

using supervisor_pointer = caf::stateful_actor<broker_supervisor_state>*;

void give_up(supervisor_pointer self, const std::string& why) {
  spdlog::error("{}", why);
  self->quit(caf::make_error(caf::sec::runtime_error, why));
}

void start_front(supervisor_pointer self) {
  self->state.front = self->state.dependencies.start_front(self, self->state.settings);
  self->monitor(self->state.front);
  if (self->state.cluster) self->send(self->state.cluster, new_front_atom_v, self->state.front);
}

// The broker is ready when its last shard is.
void opened(supervisor_pointer self, const std::string& clients, std::uint16_t port) {
  const auto& s = self->state.settings;
  if (!s.shard.group->opened(s.shard.number, port)) return;
  const auto ports = *s.shard.group->ports();
  spdlog::info("ready: clients={} nodes={}{}", clients,
               endpoint{s.cluster.host, ports.front()}.text(),
               ports.size() == 1 ? "" : " shards=" + std::to_string(ports.size()));
}

// Gives up the cluster port, so that the next broker can have it, and then the clients'.
void begin_drain(supervisor_pointer self) {
  auto& state = self->state;
  state.draining = true;
  if (state.acceptor) self->send_exit(state.acceptor, caf::exit_reason::user_shutdown);
  const auto port = std::exchange(state.cluster_port, 0);
  const auto front = state.front;
  if (port == 0) return self->send(front, drain_atom_v);
  self->request(state.dependencies.transport, close_timeout, caf::close_atom_v, port)
      .then([self, front] { self->send(front, drain_atom_v); },
            [self, front](const caf::error&) { self->send(front, drain_atom_v); });
}

void open_cluster(supervisor_pointer self, const std::string& clients) {
  self->state.cluster =
      self->spawn<caf::monitored>(cluster, self->state.front, self->state.settings.shard.group);
  self->state.acceptor = self->spawn<caf::monitored>(join_acceptor, self->state.cluster);
  const auto& where = self->state.settings.cluster;
  self->request(self->state.dependencies.transport, caf::infinite, caf::publish_atom_v, where.port,
                caf::actor_cast<caf::strong_actor_ptr>(self->state.acceptor),
                std::set<std::string>{}, where.host, true)
      .then(
          [self, clients](std::uint16_t port) {
            self->state.cluster_port = port;
            if (self->state.draining) return begin_drain(self); // it was told meanwhile
            opened(self, clients, port);
          },
          [self](const caf::error& error) {
            give_up(self, "cannot open the cluster port: " + words_of(error));
          });
}

// For workers that come; those that are here stay.
void reload_cluster_tls(const broker_dependencies& with) {
  if (!with.cluster_tls) return;
  if (const auto loaded = with.cluster_tls->reload(); !loaded)
    return spdlog::error("the cluster port's certificates are not reloaded: {}",
                         loaded.why().text());
  spdlog::info("the cluster port's certificates are reloaded");
  warn_of_certificates(with.cluster_tls->current().get());
}

void on_exit(supervisor_pointer self, const caf::down_msg& down) {
  auto& state = self->state;
  if (down.source == state.acceptor && state.draining) return;
  if (down.source == state.cluster || down.source == state.acceptor)
    return give_up(self, "the cluster actor fell: " + words_of(down.reason));
  if (down.source != state.front) return;
  if (state.draining) return self->quit(caf::exit_reason::user_shutdown);
  if (!state.ready) return give_up(self, "cannot start: " + words_of(down.reason));
  const auto pause = state.policy.on_exit(self->clock().now());
  if (!pause)
    return give_up(self, "the front fell " + std::to_string(state.settings.restarts.restarts + 1) +
                             " times within " +
                             std::to_string(state.settings.restarts.window.count()) +
                             " ms; giving up. The last time: " + words_of(down.reason));
  spdlog::error("{}the front fell ({}); starting it again in {} ms", state.settings.shard.label(),
                words_of(down.reason), pause->count());
  self->delayed_send(self, *pause, again_atom_v);
}

} // namespace

broker_dependencies default_broker_dependencies(caf::actor transport) {
  return {std::move(transport),
          [](caf::event_based_actor* self, const broker_settings& settings) {
            caf::actor_config config{&shared_loop::of(self->system())};
            return self->system().spawn_class<front, caf::no_spawn_options>(config, settings,
                                                                            caf::actor{self});
          },
          nullptr};
}

caf::behavior broker_supervisor(supervisor_pointer self, broker_settings settings,
                                broker_dependencies dependencies) {
  self->state.policy = restart_policy{settings.restarts};
  self->state.settings = std::move(settings);
  self->state.dependencies = std::move(dependencies);
  self->set_down_handler([self](caf::down_msg& down) { on_exit(self, down); });
  start_front(self);
  return {
      [self](ready_atom, const std::vector<std::string>& where) {
        // A restarted front must listen where clients know it, also when the system chose the port.
        auto& s = self->state.settings;
        const auto http = where.size() - s.http.size(); // the first that speaks HTTP
        std::string clients;
        for (std::size_t i = 0; i < where.size(); ++i) {
          (i < http ? s.listen[i] : s.http[i - http]) = *parse_endpoint(where[i]);
          clients += (i == 0 ? "" : i == http ? " http=" : ",") + where[i];
        }
        if (!std::exchange(self->state.ready, true))
          open_cluster(self, clients);
        else
          spdlog::info("{}ready again: clients={}", self->state.settings.shard.label(), clients);
      },
      [self](again_atom) { start_front(self); },
      [self](reload_atom) {
        reload_cluster_tls(self->state.dependencies);
        self->send(self->state.front, reload_atom_v);
      },
      [self](drain_atom) { begin_drain(self); },
      [self](release_atom, std::uint32_t node) {
        if (self->state.cluster) self->send(self->state.cluster, release_atom_v, node);
      },
  };
}

} // namespace ropewalk
