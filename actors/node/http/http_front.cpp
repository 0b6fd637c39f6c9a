#include "actors/node/http/http_front.hpp"

#include "actors/broker/certificate_watch.hpp"
#include "actors/broker/process_status.hpp"
#include "actors/random/random_source.hpp"
#include "actors/supervise/process_memory.hpp"
#include "actors/supervise/spawner.hpp"
#include "actors/time/clock.hpp"
#include "net/cluster/checked_cast.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/protocol/cluster_greeting.hpp"
#include "net/sockets/client_scribe.hpp"
#include "net/transport/socket.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>
#include <utility>

namespace ropewalk {

namespace {

// Nothing here wants a body. A head has limits of its own (net/http/http_limits.hpp).
constexpr std::size_t max_body_bytes = 4096;

// What is said may be as long as the names of all services make it.
constexpr std::uint64_t max_unread_bytes = 4 * limits::mib;

// Slow readers are looked at so often, while there are any.
constexpr milliseconds reader_look_interval{20};

// How long a gateway may take: longer than it gives its pools.
constexpr milliseconds gateway_timeout{1000};

// How old what is read of /proc may be.
constexpr milliseconds programs_age{1000};

constexpr milliseconds port_retry_interval{200};

broker_tuning tuning(std::uint64_t connections) {
  broker_tuning result;
  result.max_message_bytes = max_body_bytes;
  result.clients.connections = connections;
  result.dispatch.memory = connections * max_body_bytes;
  result.dispatch.history_memory = 0;
  result.unread_answers = max_unread_bytes;
  result.answers_memory = 4 * max_unread_bytes;
  return result;
}

std::shared_ptr<connection_limiter> limiter_of(const broker_tuning& limits) {
  connection_limiter::settings settings;
  static_cast<connection_settings&>(settings) = limits.clients;
  settings.seed = unguessable_seed();
  return connection_limiter::make(settings);
}

caf::behavior programs_reader(caf::event_based_actor*, spawner* starts_programs) {
  return {[starts_programs](status_atom) -> caf::result<double, std::uint64_t> {
    const auto keeper = starts_programs->keeper();
    if (keeper <= 0) return {0.0, std::uint64_t{0}};
    return {cpu_seconds_of({keeper}), memory_of({keeper}, false)};
  }};
}

} // namespace

std::uint64_t http_connections(std::uint64_t descriptors) {
  return std::clamp<std::uint64_t>(descriptors / 16, 4, 100);
}

http_front::http_front(caf::actor_config& config, http_front_settings settings)
    : broker(config), settings_(std::move(settings)), limits_(tuning(settings_.connections)),
      started_(clock_now()), books_(limits_.dispatch, started_, unguessable_seed()),
      clients_(limits_, settings_.access, books_, {}, settings_.guard, http_side::worker),
      acceptors_(*this, clients_, limiter_of(limits_)) {}

caf::behavior http_front::make_behavior() {
  if (const auto loaded = clients_.load_access(clock_now()); !loaded) {
    spdlog::error("cannot start: {}", loaded.why().text());
    quit(caf::make_error(caf::sec::invalid_argument, loaded.why().text()));
    return {};
  }
  programs_reader_ = system().spawn<caf::detached>(programs_reader, &spawner::of_process());
  set_down_handler([this](caf::down_msg& down) { went_down(down); });
  listen();
  return {
      [this](const caf::io::new_connection_msg& msg) { connected(msg.handle); },
      [this](const caf::io::new_data_msg& msg) {
        if (const auto found = ids_.find(msg.handle); found != ids_.end())
          clients_.read(found->second, clock_now());
        carry_out();
      },
      [this](const caf::io::connection_closed_msg& msg) {
        if (const auto gone = ids_.extract(msg.handle); !gone.empty())
          clients_.disconnected(gone.mapped(), clock_now());
        carry_out();
      },
      [](const caf::io::acceptor_closed_msg&) {},
      [this](attach_atom, caf::actor& gateway, std::vector<offered_service>& services) {
        monitor(gateway);
        nodes_.push_back({std::move(gateway), std::move(services)});
      },
      [this](attach_atom, const caf::actor& top) { monitor(top); },
      [this](attach_atom) { listen(); },
      [this](again_atom) { tick(); },
      [this](sweep_timeouts_atom) { sweep(); },
      [this](reload_atom) { reload(); },
      [this](drain_atom) {
        draining_ = true;
        clients_.begin_drain();
      },
  };
}

void http_front::on_exit() {
  acceptors_.close();
  clients_.abandon();
  nodes_.clear();
  programs_reader_ = nullptr;
}

// A gateway, or the top of the process, with which this ends.
void http_front::went_down(const caf::down_msg& down) {
  const auto gone =
      std::erase_if(nodes_, [&](const watched_node& one) { return one.gateway == down.source; });
  if (gone == 0) quit(caf::exit_reason::user_shutdown);
}

// -- the port -----------------------------------------------------------------------------------------

void http_front::listen() {
  const auto opened = open();
  if (opened) {
    std::string all;
    for (const auto& one : acceptors_.addresses()) all += (all.empty() ? "" : ",") + one;
    return spdlog::info("ready for HTTP: http={}", all);
  }
  if (!settings_.waits_for_port) {
    spdlog::error("cannot start: {}", opened.why().text());
    return quit(caf::make_error(caf::sec::cannot_open_port, opened.why().text()));
  }
  spdlog::warn("no HTTP yet: {}; trying until it is free", opened.why().text());
  delayed_send(this, port_retry_interval, attach_atom_v);
}

result<void> http_front::open() {
  for (const auto& address : settings_.listen) // all or none
    if (const auto held = reserve_port(address); !held) return held.why();
  return acceptors_.open({{}, settings_.listen, false, limits_.max_message_bytes}, [this] {
    if (!std::exchange(expects_tick_, true)) delayed_send(this, reader_look_interval, again_atom_v);
  });
}

void http_front::connected(caf::io::connection_handle which) {
  auto found = by_id(which);
  if (!found) return;
  const caf::intrusive_ptr<client_scribe> scribe{&checked_cast<client_scribe>(*found)};
  ids_[which] = clients_.connected({scribe.get(), [scribe](client_connection*) {}},
                                   scribe->take_permit(), clock_now());
  configure_read(which, caf::io::receive_policy::at_most(1));
  if (!std::exchange(expects_sweep_, true))
    delayed_send(this, session_timeouts::interval, sweep_timeouts_atom_v);
}

void http_front::reload() {
  if (const auto loaded = clients_.load_access(clock_now()); !loaded)
    return spdlog::error("HTTP's certificates and tokens are not reloaded: {}",
                         loaded.why().text());
  carry_out();
}

// -- turns and time -----------------------------------------------------------------------------------

void http_front::carry_out() {
  clients_.carry_out(books_.pending());
  const bool wants_status = clients_.wants_status_round();
  const bool status_is_due = wants_status && clients_.status_is_due(clock_now());
  if ((clients_.needs_ticks() || (wants_status && !status_is_due)) &&
      !std::exchange(expects_tick_, true))
    delayed_send(this, reader_look_interval, again_atom_v);
  if (clients_.needs_flush() || status_is_due) expect_turn_end();
}

void http_front::expect_turn_end() {
  if (std::exchange(expects_turn_end_, true)) return;
  shared_loop::of(system()).post([this, alive = caf::strong_actor_ptr{ctrl()}] {
    if (!getf(is_terminated_flag)) end_turn();
  });
}

void http_front::end_turn() {
  expects_turn_end_ = false;
  const auto now = clock_now();
  if (clients_.status_is_due(now)) begin_round();
  clients_.flush(now);
  carry_out();
}

void http_front::tick() {
  expects_tick_ = acceptors_.paused();
  const auto now = clock_now();
  clients_.tick(now);
  acceptors_.resume(now);
  if (expects_tick_) delayed_send(this, reader_look_interval, again_atom_v);
  carry_out();
}

void http_front::sweep() {
  clients_.check_timeouts(clock_now());
  expects_sweep_ = clients_.size() > 0;
  if (expects_sweep_) delayed_send(this, session_timeouts::interval, sweep_timeouts_atom_v);
  carry_out();
}

// -- numbers ------------------------------------------------------------------------------------------

void http_front::begin_round() {
  clients_.begin_status_round();
  const auto what = std::make_shared<round>();
  for (const auto& one : nodes_) {
    ++what->outstanding;
    request(one.gateway, gateway_timeout, status_atom_v)
        .then(
            [this, what, from = one](const shared_worker_report& said) {
              add(*what, from, worker_report{*said});
              end_round(*what);
            },
            [this, what](const caf::error&) { end_round(*what); });
  }
  if (clock_now() - programs_.read_at >= programs_age) read_programs(what);
  end_round(*what);
}

void http_front::read_programs(const std::shared_ptr<round>& for_whom) {
  ++for_whom->outstanding;
  request(programs_reader_, gateway_timeout, status_atom_v)
      .then(
          [this, for_whom](double cpu_seconds, std::uint64_t memory) {
            programs_ = {cpu_seconds, memory, clock_now()};
            end_round(*for_whom);
          },
          [this, for_whom](const caf::error&) { end_round(*for_whom); });
}

// It is one node that has to be ready, where another is on its way, or drains.
void http_front::add(round& to, const watched_node& from, worker_report&& said) const {
  for (std::size_t i = 0; i < said.services.size() && i < from.services.size(); ++i) {
    auto& state = said.services[i].state;
    const auto& offered = from.services[i];
    state.name = offered.name;
    const auto wanted = offered.min_slots > 0 ? offered.min_slots : offered.slots;
    state.slots_failing = wanted - std::min(wanted, state.slots_ready);
  }
  const auto why = said.why_not_ready(settings_.broker);
  to.ready = to.ready || why.empty();
  if (to.not_ready.empty() || !said.node.draining) to.not_ready = why;
  to.sum.add(said);
}

void http_front::end_round(round& what) {
  if (--what.outstanding > 0) return;
  const auto began = clock_now();
  auto& node = what.sum.node;
  node.name = settings_.node;
  node.version = own_cluster_greeting().release;
  node.pid = static_cast<std::uint32_t>(::getpid());
  node.uptime_seconds = std::chrono::duration<double>(began - started_).count();
  node.programs_cpu_seconds = programs_.cpu_seconds;
  node.programs_memory = programs_.memory;
  node.draining = draining_;
  node.not_ready = draining_ ? "draining" : what.ready ? std::string{} : what.not_ready;
  if (!draining_ && !what.ready && node.not_ready.empty()) node.not_ready = "it is starting";
  node.ready = node.not_ready.empty();
  what.sum.process = numbers_of_this_process(clients_.size());
  what.sum.certificates = report_certificates(clients_.gate().tls(), settings_.cluster_tls.get());
  clients_.end_status_round(what.sum);
  const auto end = clock_now();
  clients_.status_took(end - began, end);
  carry_out();
}

} // namespace ropewalk
