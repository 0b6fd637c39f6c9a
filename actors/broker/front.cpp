#include "actors/broker/front.hpp"

#include "actors/broker/certificate_watch.hpp"
#include "actors/broker/message_round.hpp"
#include "actors/log/wall_clock.hpp"
#include "actors/settings/units.hpp"
#include "actors/time/clock.hpp"
#include "net/cluster/checked_cast.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/sockets/client_scribe.hpp"

#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

// Deadlines and slow readers are looked at so often, while there are any.
constexpr milliseconds tick_interval{20};

request_intake::shards others_of(const shard_place& shard) {
  const auto group = shard.group;
  return {group->size() > 1, [group](std::string_view name) { return group->has_service(name); }};
}

} // namespace

front::front(caf::actor_config& config, broker_settings settings, caf::actor supervisor)
    : broker(config), settings_(std::move(settings)), supervisor_(std::move(supervisor)),
      dispatcher_(settings_.dispatch, clock_now(), settings_.seed),
      clients_(settings_, settings_.access, dispatcher_, others_of(settings_.shard),
               settings_.guard),
      acceptors_(*this, clients_, settings_.shard.group->census()),
      nodes_(*this, dispatcher_, settings_.shard), status_(*this, settings_.shard),
      numbers_({settings_, dispatcher_, clients_, nodes_}, clock_now()) {}

caf::behavior front::make_behavior() {
  if (const auto loaded = clients_.load_access(clock_now()); !loaded) {
    quit(caf::make_error(caf::sec::invalid_argument, loaded.why().text()));
    return {};
  }
  if (const auto opened = open_acceptors(); !opened) {
    quit(caf::make_error(caf::sec::cannot_open_port, opened.why().text()));
    return {};
  }
  send(supervisor_, ready_atom_v, acceptors_.addresses());
  settings_.shard.group->set_front(settings_.shard.number, this);
  sample();
  return {
      [this](const caf::io::new_connection_msg& msg) { connected(msg.handle); },
      [this](const caf::io::new_data_msg& msg) {
        clients_.read(id_of(msg.handle), clock_now());
        carry_out();
      },
      [this](const caf::io::connection_closed_msg& msg) {
        clients_.disconnected(id_of(msg.handle), clock_now());
        by_handle_.erase(msg.handle);
        carry_out();
      },
      [](const caf::io::acceptor_closed_msg&) {},
      [this](answers_atom, node_number node, const batch& answers) { take_answers(node, answers); },
      [this](admit_atom, node_description& description, caf::actor& gateway) {
        return admit(std::move(description), std::move(gateway));
      },
      [this](lost_atom, node_number node, const std::string& why) {
        lose_node(node, why, clock_now());
        carry_out();
      },
      [this](retire_atom, node_number node) {
        nodes_.retire(node, clock_now());
        end_turn(); // what was placed goes before the word that nothing more will come
        nodes_.confirm_retired(node);
      },
      [this](lease_atom, node_number node, std::uint64_t asked) {
        end_turn(); // what was taken back goes before the word that the rest may be started
        nodes_.confirm_lease(node, asked, clock_now());
      },
      [this](waiting_atom, node_number n, std::uint16_t s) { nodes_.tell_waiting(n, s); },
      [this](leave_atom, node_number node) { let_go(node); },
      [this](slots_atom, node_number node, std::uint16_t service, std::uint32_t live) {
        nodes_.set_slots(node, service, live, clock_now());
        carry_out();
      },
      [this](failing_atom, node_number node, std::uint16_t service, bool failing) {
        set_failing(node, service, failing, clock_now());
        carry_out();
      },
      [this](explain_atom, const shared_query& query) { return known_about(*query); },
      [this](status_atom) { return numbers_.report(clock_now(), drain_.draining()); },
      [this](sample_atom) { sample(); },
      [this](act_atom, std::uint8_t verb, std::string& target) {
        carry_out(operator_action{static_cast<operator_verb>(verb), std::move(target)});
      },
      [this](restarted_atom, node_number, std::uint32_t count) { nodes_.count_restarts(count); },
      [this](again_atom) { tick(); },
      [this](sweep_timeouts_atom) {
        expected_.timeouts = false;
        clients_.check_timeouts(clock_now());
        carry_out();
        if (clients_.size() > 0) expect_timeouts();
      },
      [this](reload_atom) { reload(); },
      [this](drain_atom) { begin_drain(); },
  };
}

result<void> front::open_acceptors() {
  const bool shared_ports = settings_.shard.group->size() > 1;
  return acceptors_.open(
      {settings_.listen, settings_.http, shared_ports, settings_.max_message_bytes},
      [this] { expect_tick(); });
}

// What CAF still holds of a front that fell must not count as clients.
void front::on_exit() {
  acceptors_.close();
  clients_.abandon();
}

// -- clients ----------------------------------------------------------------------------------------

void front::connected(caf::io::connection_handle which) {
  auto found = by_id(which);
  if (!found) return;
  const caf::intrusive_ptr<client_scribe> scribe{&checked_cast<client_scribe>(*found)};
  const auto id = clients_.connected({scribe.get(), [scribe](client_connection*) {}},
                                     scribe->take_permit(), clock_now());
  by_handle_.insert_or_assign(which, id);
  configure_read(which, caf::io::receive_policy::at_most(1));
  expect_timeouts();
}

connection_id front::id_of(caf::io::connection_handle which) const {
  const auto found = by_handle_.find(which);
  return found == by_handle_.end() ? connection_id{} : found->second;
}

// Certificates and tokens from their files again, for those who come, and for those who are here.
void front::reload() {
  if (const auto loaded = clients_.load_access(clock_now()); !loaded) {
    spdlog::error("nothing is reloaded: {}", loaded.why().text());
    return;
  }
  spdlog::info("certificates and tokens are reloaded");
  if (settings_.shard.number == 0) warn_of_certificates(clients_.gate().tls());
  carry_out();
}

// -- nodes ------------------------------------------------------------------------------------------

node_number front::admit(node_description description, caf::actor gateway) {
  const auto now = clock_now();
  const auto number = nodes_.join(std::move(description), std::move(gateway), now);
  clients_.events().hurry(now);
  carry_out();
  return number;
}

void front::let_go(node_number which) {
  const auto now = clock_now();
  nodes_.leave(which, now);
  clients_.events().hurry(now);
  carry_out();
}

void front::lose_node(node_number which, const std::string& why, instant now) {
  const auto* lost = nodes_.find(which);
  const auto name = lost ? lost->description.name : std::string{};
  const auto refused_before = dispatcher_.pending().refuse.size();
  nodes_.lose(which, why, now);
  clients_.events().hurry(now);
  log_lost(name, refused_before, now);
}

void front::set_failing(node_number which, std::uint16_t service, bool failing, instant now) {
  const auto* from = nodes_.find(which);
  if (!from) return;
  const auto refused_before = dispatcher_.pending().refuse.size();
  nodes_.set_failing(which, service, failing, now);
  log_lost(from->description.name, refused_before, now);
}

// -- turns and time -----------------------------------------------------------------------------------

// Carries out what the dispatcher decided, as far as that is collecting what goes out; it goes out
// when the turn ends, and what was placed is fetched only then: some of it may be taken back until
// it leaves. Of what concerns somebody who has gone since it was decided nothing is carried out.
void front::carry_out() {
  if (auto& decided = dispatcher_.pending(); !decided.empty()) {
    nodes_.carry_out(decided);
    clients_.carry_out(decided);
  }
  if (dispatcher_.needs_time() || clients_.needs_ticks()) expect_tick();
  if (dispatcher_.has_more_to_end()) expect_more_ends();
  if (clients_.wants_status_round())
    clients_.status_is_due(clock_now()) ? expect_turn_end() : expect_tick();
  if (nodes_.has_unsent() || clients_.needs_flush() || clients_.questions().has_waiting() ||
      dispatcher_.has_traced())
    expect_turn_end();
}

void front::expect_turn_end() {
  if (std::exchange(expected_.turn_end, true)) return;
  shared_loop::of(system()).post([this, alive = caf::strong_actor_ptr{ctrl()}] {
    if (!getf(is_terminated_flag)) end_turn();
  });
}

void front::expect_more_ends() {
  if (std::exchange(expected_.more_ends, true)) return;
  shared_loop::of(system()).defer([this, alive = caf::strong_actor_ptr{ctrl()}] {
    if (getf(is_terminated_flag)) return;
    expected_.more_ends = false;
    dispatcher_.end_more(clock_now());
    carry_out();
  });
}

void front::end_turn() {
  expected_.turn_end = false;
  const auto now = clock_now();
  nodes_.flush(now);
  if (clients_.status_is_due(now)) begin_status_round();
  if (clients_.questions().has_waiting()) answer_question(now);
  export_traces();
  clients_.flush(now);
  // What was decided meanwhile, of clients that were let go, and of those that are watched now.
  carry_out();
}

void front::export_traces() {
  if (dispatcher_.has_traced()) [[unlikely]]
    settings_.traces->push(dispatcher_.take_traced());
}

void front::expect_tick() {
  if (std::exchange(expected_.tick, true)) return;
  expected_.tick_due = clock_now() + tick_interval;
  delayed_send(this, tick_interval, again_atom_v);
}

void front::tick() {
  expected_.tick = false;
  const auto now = clock_now();
  numbers_.timer_came(expected_.tick_due, now);
  dispatcher_.advance(now);
  carry_out();
  clients_.tick(now);
  carry_out();
  acceptors_.resume(now);
  advance_drain(now);
  if (clients_.needs_ticks() || acceptors_.paused() || drain_.draining()) expect_tick();
}

void front::expect_timeouts() {
  if (std::exchange(expected_.timeouts, true)) return;
  delayed_send(this, session_timeouts::interval, sweep_timeouts_atom_v);
}

// -- its end ------------------------------------------------------------------------------------------

void front::begin_drain() {
  if (!drain_.begin(clock_now(), settings_.drain_time)) return;
  clients_.begin_drain();
  // Not in here: who is accepted at the last moment enters this actor.
  shared_loop::of(system()).post([this, alive = caf::strong_actor_ptr{ctrl()}] {
    if (getf(is_terminated_flag)) return;
    acceptors_.stop_listening();
    spdlog::info("{}draining: {} requests in hand; the ports are free for the next broker",
                 settings_.shard.label(),
                 dispatcher_.totals().waiting + dispatcher_.totals().placed);
  });
  expect_tick();
}

void front::advance_drain(instant now) {
  if (drain_.draining() && dispatcher_.totals().waiting == 0)
    for (const auto node : nodes_.release_idle(now)) send(supervisor_, release_atom_v, node);
  const auto left = dispatcher_.totals().waiting + dispatcher_.totals().placed;
  switch (drain_.next(now, left == 0 && clients_.all_sent(), clients_.size())) {
  case drain::step::wait:
    return;
  case drain::step::close_clients:
    return clients_.close_all(now);
  case drain::step::finished:
    spdlog::info("{}drained: every request is answered", settings_.shard.label());
    break;
  case drain::step::out_of_time:
    spdlog::warn("{}the drain time is over: {} requests are left without an answer",
                 settings_.shard.label(), left);
    break;
  }
  export_traces();
  quit(caf::exit_reason::user_shutdown);
}

// -- questions about messages --------------------------------------------------------------------------

shared_reports front::known_about(const message_query& query) {
  auto known = message_questions::known(dispatcher_, query, clock_now());
  carry_out();
  return std::make_shared<const std::vector<message_report>>(std::move(known));
}

void front::answer_question(instant now) {
  const auto question = clients_.questions().take_next();
  if (!question) return;
  ask_shards(*this, settings_.shard, question->query,
             message_questions::known(dispatcher_, question->query, now),
             [this, question = *question](std::vector<message_report>&& known) {
               clients_.answer_question(question, std::move(known), clock_now(), wall_now());
               if (clients_.needs_flush()) expect_turn_end();
             });
}

} // namespace ropewalk
