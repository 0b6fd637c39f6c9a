#include "actors/broker/front.hpp"

#include <caf/io/network/multiplexer.hpp>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

// Deadlines and slow readers are looked at so often, while there are any.
constexpr milliseconds tick_interval{20};

} // namespace

front::front(caf::actor_config& config, broker_settings settings, caf::actor supervisor)
    : broker(config), settings_(std::move(settings)), supervisor_(std::move(supervisor)),
      dispatcher_(settings_.dispatch, clock_now()), gate_(settings_.access),
      label_(settings_.shard.label()), started_(clock_now()), now_(started_) {}

caf::behavior front::make_behavior() {
  if (const auto wrong = gate_.load()) {
    quit(caf::make_error(caf::sec::invalid_argument, *wrong));
    return {};
  }
  if (!listen()) return {};
  settings_.shard.group->set_front(settings_.shard.number, this);
  return {
      [this](const caf::io::new_connection_msg& msg) { connected(msg.handle); },
      [this](const caf::io::new_data_msg& msg) { readable(msg.handle); },
      [this](const caf::io::connection_closed_msg& msg) { disconnected(msg.handle); },
      [](const caf::io::acceptor_closed_msg&) {},
      [this](answers_atom, std::uint32_t node, const batch& answers) {
        take_answers(node, answers);
      },
      [this](admit_atom, node_description& description, caf::actor& gateway) {
        return admit(std::move(description), std::move(gateway));
      },
      [this](lost_atom, std::uint32_t node, const std::string& why) { lost(node, why); },
      [this](retire_atom, std::uint32_t node) {
        if (node >= members_.size() || !members_[node].present) return;
        dispatcher_.retire(node);
        finish_turn(); // what was placed goes before the word that nothing more will come
        send(members_[node].gateway, retired_atom_v, members_[node].description.shard);
      },
      [this](leave_atom, std::uint32_t node) {
        if (node >= members_.size() || !members_[node].present) return;
        const auto gateway = members_[node].gateway;
        const auto shard = members_[node].description.shard;
        lost(node, "it was drained");
        send(gateway, left_atom_v, shard);
      },
      [this](slots_atom, std::uint32_t node, std::uint16_t service, std::uint32_t live) {
        if (node >= members_.size() || !members_[node].present) return;
        now_ = clock_now();
        dispatcher_.set_slots(node, service, live, now_);
        carry_out();
      },
      [this](failing_atom, std::uint32_t node, std::uint16_t service, bool failing) {
        if (node >= members_.size() || !members_[node].present) return;
        now_ = clock_now();
        dispatcher_.set_failing(node, service, failing, now_);
        carry_out();
      },
      [this](status_atom) { return report(); },
      [this](restarted_atom, std::uint32_t, std::uint32_t count) { restarts_ += count; },
      [this](again_atom) { tick(); },
      [this](patrol_atom) { patrol(); },
      [this](reload_atom) { reload(); },
      [this](drain_atom) { drain(); },
  };
}

// What CAF still holds of a front that fell must not count as clients.
void front::on_exit() {
  last_admission_.reset();
  for (auto& s : sessions_) s.admission.reset();
}

// -- nodes
// ----------------------------------------------------------------------------------------------------------------

std::uint32_t front::admit(node_description description, caf::actor gateway) {
  now_ = clock_now();
  for (std::uint32_t i = 0; i < members_.size();
       ++i) // it had given up waiting for the answer to its last join
    if (members_[i].present && members_[i].gateway == gateway) lost(i, "it joined again");
  std::vector<service_offer> offers;
  std::string names;
  for (const auto& service : description.services) {
    offers.push_back({service.name, service.slots});
    settings_.shard.group->add_service(service.name);
    names += (names.empty() ? "" : ", ") + service.name;
  }
  const auto index = dispatcher_.join(offers, now_);
  if (index >= members_.size()) members_.resize(index + 1);
  auto& m = members_[index];
  restarts_ += description.restarts;
  spdlog::info("{}node {} joined from {} (pid {}): {}", label_, description.name, description.host,
               description.pid, names);
  m.description = std::move(description);
  m.gateway = std::move(gateway);
  m.present = true;
  carry_out();
  return index;
}

void front::lost(std::uint32_t node, const std::string& why) {
  if (node >= members_.size() || !members_[node].present) return;
  now_ = clock_now();
  auto& m = members_[node];
  const auto had = dispatcher_.view(node).in_flight;
  if (had > 0)
    spdlog::warn("{}node {} is gone ({}); {} messages go to others", label_, m.description.name,
                 why, had);
  else
    spdlog::info("{}node {} is gone ({})", label_, m.description.name, why);
  dispatcher_.lose(node, "node " + m.description.name + " is gone (" + why + ")", now_);
  m = member{};
  carry_out();
}

void front::take_answers(std::uint32_t node, const batch& answers) {
  if (node >= members_.size() || !members_[node].present)
    return; // of a node that was declared lost: refused
  now_ = clock_now();
  batch_reader reader{answers.flat(), batch_reader::payloads::lent};
  while (const auto* item = reader.next_answer()) {
    switch (item->end) {
    case item_end::answered: {
      const auto whom =
          dispatcher_.complete(node, item->token, item->attempt, microseconds{item->run_us}, now_);
      if (whom && whom->connection != no_index)
        answer(sessions_[whom->connection], whom->request_id, item->code, item->payload);
      break;
    }
    case item_end::returned:
      dispatcher_.give_back(node, item->token, item->attempt, now_);
      break;
    case item_end::crashed:
      dispatcher_.crash(node, item->token, item->attempt,
                        "on node " + members_[node].description.name + ": " +
                            std::string{item->payload.view()},
                        now_);
      break;
    }
  }
  if (reader.malformed()) {
    spdlog::error("node {} sent a batch that makes no sense; it is let go",
                  members_[node].description.name);
    lost(node, "it sent a batch that makes no sense");
  }
  carry_out();
}

// -- turns and time
// ---------------------------------------------------------------------------------------------------------

// Carries out what the dispatcher decided, as far as that is collecting what goes out; it goes out
// when the turn ends.
void front::carry_out() {
  auto& todo = dispatcher_.pending();
  if (!todo.empty()) {
    for (const auto& p : todo.place) {
      const auto* r = dispatcher_.find(p.request);
      if (!r || r->stage != stage::placed) continue;
      auto& m = members_[p.node];
      const auto left = std::chrono::ceil<milliseconds>(r->deadline - now_).count();
      m.work.add({p.request, static_cast<std::uint32_t>(std::max<std::int64_t>(left, 0)),
                  dispatcher_.offer_of(*r), r->attempt},
                 r->payload);
      if (!std::exchange(m.dirty, true)) dirty_members_.push_back(p.node);
    }
    for (const auto& r : todo.refuse) {
      const auto detail = r.detail.empty() ? sentence_of(r.code) : std::string_view{r.detail};
      answer(sessions_[r.connection], r.request_id, r.code, shared_bytes::borrow(detail),
             r.retry_after_ms);
    }
    for (const auto& w : todo.withdraw) {
      auto& m = members_[w.node];
      if (!m.present) continue;
      m.withdrawn.push_back({w.request, w.attempt});
      if (!std::exchange(m.dirty, true)) dirty_members_.push_back(w.node);
    }
    for (const auto index : todo.reading)
      if (sessions_[index].scribe) set_reading(sessions_[index]);
    todo.place.clear();
    todo.refuse.clear();
    todo.withdraw.clear();
    todo.reading.clear();
  }
  if (dispatcher_.needs_time()) expect_tick();
  if (turn_open_ || (dirty_sessions_.empty() && dirty_members_.empty())) return;
  turn_open_ = true;
  backend().post([this, alive = caf::strong_actor_ptr{ctrl()}] {
    if (!getf(is_terminated_flag)) finish_turn();
  });
}

// Everything that collected leaves: one message a node, one write a socket.
void front::finish_turn() {
  turn_open_ = false;
  for (const auto index : dirty_members_) {
    auto& m = members_[index];
    m.dirty = false;
    if (!m.present) continue;
    const auto shard = m.description.shard;
    if (!m.work.empty()) send(m.gateway, work_atom_v, shard, m.work.take());
    if (!m.withdrawn.empty())
      send(m.gateway, withdraw_atom_v, shard, std::exchange(m.withdrawn, {}));
  }
  dirty_members_.clear();
  for (const auto index : dirty_sessions_)
    if (sessions_[index].scribe) flush(sessions_[index]);
  dirty_sessions_.clear();
}

void front::expect_tick() {
  if (std::exchange(tick_expected_, true)) return;
  delayed_send(this, tick_interval, again_atom_v);
}

void front::tick() {
  tick_expected_ = false;
  now_ = clock_now();
  dispatcher_.advance(now_);
  watch_slow_readers(now_);
  carry_out();
  if (draining_) {
    if (all_done() && by_handle_.empty()) {
      spdlog::info("{}drained: every request is answered", label_);
      quit(caf::exit_reason::user_shutdown);
    } else if (all_done()) {
      // A socket that is closed with unread bytes resets, and the client may lose answers on their
      // way: the end of what is sent goes first, and the connection follows when the client has
      // closed its half, or after closing_time.
      for (auto& s : sessions_)
        if (s.scribe && !s.closing) close_after_answer(s);
    } else if (now_ >= drain_end_) {
      spdlog::warn("{}the drain time is over: {} requests are left without an answer", label_,
                   dispatcher_.totals().waiting + dispatcher_.totals().placed);
      quit(caf::exit_reason::user_shutdown);
    }
  }
  feed_starving_doors();
  if (!watched_.empty() || !starving_doors_.empty() || draining_) expect_tick();
}

void front::drain() {
  if (draining_) return;
  draining_ = true;
  drain_end_ = clock_now() + settings_.drain_time;
  spdlog::info("{}draining: {} requests in hand", label_,
               dispatcher_.totals().waiting + dispatcher_.totals().placed);
  expect_tick();
}

bool front::all_done() const {
  if (dispatcher_.totals().waiting + dispatcher_.totals().placed > 0) return false;
  return std::all_of(sessions_.begin(), sessions_.end(),
                     [](const session& s) { return !s.scribe || s.scribe->output().empty(); });
}

} // namespace ropewalk
