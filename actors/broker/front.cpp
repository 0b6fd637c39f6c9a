#include "actors/broker/front.hpp"

#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

// Deadlines and slow readers are looked at so often, while there are any.
constexpr milliseconds tick_interval{20};

// Clients that have all their answers get this long beyond the drain time to take them: those that
// come back again and again would keep a drain from its end.
constexpr milliseconds last_goodbye{2000};

// A time as nodes are told it.
std::uint64_t micros(instant at) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<microseconds>(at.time_since_epoch()).count());
}

} // namespace

front::front(caf::actor_config& config, broker_settings settings, caf::actor supervisor)
    : broker(config), settings_(std::move(settings)), supervisor_(std::move(supervisor)),
      dispatcher_(settings_.dispatch, clock_now(), settings_.seed), gate_(settings_.access),
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
        const auto* m = find_member(node);
        if (!m) return;
        now_ = clock_now();
        dispatcher_.retire(node, now_);
        finish_turn(); // what was placed goes before the word that nothing more will come
        send(m->gateway, retired_atom_v, m->description.shard);
      },
      [this](lease_atom, std::uint32_t node, std::uint64_t asked) {
        const auto* m = find_member(node);
        if (!m) return;
        finish_turn(); // what was taken back goes before the word that the rest may be started
        send(m->gateway, leased_atom_v, m->description.shard, asked, micros(clock_now()));
      },
      [this](leave_atom, std::uint32_t node) {
        const auto* m = find_member(node);
        if (!m) return;
        const auto gateway = m->gateway;
        const auto shard = m->description.shard;
        lost(node, "it was drained");
        send(gateway, left_atom_v, shard);
      },
      [this](slots_atom, std::uint32_t node, std::uint16_t service, std::uint32_t live) {
        if (!find_member(node)) return;
        now_ = clock_now();
        dispatcher_.set_slots(node, service, live, now_);
        carry_out();
      },
      [this](failing_atom, std::uint32_t node, std::uint16_t service, bool failing) {
        if (!find_member(node)) return;
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
  if (hangups_) hangups_->close();
  last_admission_.reset();
  sessions_.for_each([](session& s) { s.admission.reset(); });
}

// -- nodes ----------------------------------------------------------------------------------------

std::uint32_t front::admit(node_description description, caf::actor gateway) {
  now_ = clock_now();
  // It may have given up waiting for the answer to its last join.
  const auto again = std::find_if(members_.begin(), members_.end(), [&](const auto& known) {
    return known.second.gateway == gateway;
  });
  if (again != members_.end()) lost(again->first, "it joined again");
  std::vector<service_offer> offers;
  std::string names;
  for (const auto& service : description.services) {
    offers.push_back({service.name, service.slots});
    settings_.shard.group->add_service(service.name);
    names += (names.empty() ? "" : ", ") + service.name;
  }
  const auto number = dispatcher_.join(offers, now_);
  auto& m = members_[number];
  restarts_ += description.restarts;
  spdlog::info("{}node {} joined from {} (pid {}): {}", label_, description.name, description.host,
               description.pid, names);
  m.description = std::move(description);
  m.gateway = std::move(gateway);
  carry_out();
  return number;
}

void front::lost(std::uint32_t node, const std::string& why) {
  const auto* found = find_member(node);
  if (!found) return;
  now_ = clock_now();
  const auto& m = *found;
  const auto had = dispatcher_.view(node).in_flight;
  if (had > 0)
    spdlog::warn("{}node {} is gone ({}); {} messages go to others", label_, m.description.name,
                 why, had);
  else
    spdlog::info("{}node {} is gone ({})", label_, m.description.name, why);
  dispatcher_.lose(node, "node " + m.description.name + " is gone (" + why + ")", now_);
  members_.erase(node);
  carry_out();
}

// Null if it is gone: a number is never another's.
front::member* front::find_member(std::uint32_t node) {
  const auto found = members_.find(node);
  return found == members_.end() ? nullptr : &found->second;
}

void front::take_answers(std::uint32_t node, const batch& answers) {
  const auto* from = find_member(node);
  if (!from) return; // it was declared lost: refused
  now_ = clock_now();
  batch_reader reader{answers.flat(), batch_reader::payloads::lent};
  while (const auto* item = reader.next_answer()) {
    switch (item->end) {
    case item_end::answered: {
      const auto whom =
          dispatcher_.complete(node, item->token, item->fence, microseconds{item->run_us}, now_);
      if (auto* to = whom ? sessions_.find(whom->connection) : nullptr)
        answer(*to, whom->request_id, item->code, item->payload);
      break;
    }
    case item_end::returned:
      dispatcher_.give_back(node, item->token, item->fence, now_);
      break;
    case item_end::crashed:
      dispatcher_.crash(
          node, item->token, item->fence,
          "on node " + from->description.name + ": " + std::string{item->payload.view()}, now_);
      break;
    }
  }
  if (reader.malformed()) {
    spdlog::error("node {} sent a batch that makes no sense; it is let go", from->description.name);
    lost(node, "it sent a batch that makes no sense");
  }
  carry_out();
}

// -- turns and time -------------------------------------------------------------------------------

// Carries out what the dispatcher decided, as far as that is collecting what goes out; it goes out
// when the turn ends, and what was placed is fetched only then: some of it may be taken back until
// it leaves. Of what concerns somebody who has gone since it was decided nothing is carried out.
void front::carry_out() {
  auto& todo = dispatcher_.pending();
  if (!todo.empty()) {
    for (const auto& r : todo.refuse) {
      auto* to = sessions_.find(r.connection);
      if (!to) continue;
      const auto detail = r.detail.empty() ? sentence_of(r.code) : std::string_view{r.detail};
      answer(*to, r.request_id, r.code, shared_bytes::borrow(detail), r.retry_after_ms);
    }
    for (const auto& w : todo.withdraw) {
      auto* m = find_member(w.node);
      if (!m) continue;
      m->withdrawn.push_back({w.request, w.fence});
      touch(w.node, *m);
    }
    for (const auto id : todo.reading)
      if (auto* s = sessions_.find(id)) set_reading(*s);
    todo.refuse.clear();
    todo.withdraw.clear();
    todo.reading.clear();
  }
  if (dispatcher_.needs_time()) expect_tick();
  if (dispatcher_.has_placed() || !dirty_sessions_.empty() || !dirty_members_.empty() ||
      !status_waiting_.empty())
    open_turn();
}

void front::open_turn() {
  if (std::exchange(turn_open_, true)) return;
  backend().post([this, alive = caf::strong_actor_ptr{ctrl()}] {
    if (!getf(is_terminated_flag)) finish_turn();
  });
}

// Everything that collected leaves: one message a node, one write a socket.
void front::finish_turn() {
  turn_open_ = false;
  collect_placed();
  for (const auto number : dirty_members_) {
    auto* m = find_member(number);
    if (!m) continue;
    m->dirty = false;
    const auto shard = m->description.shard;
    if (!m->work.empty()) send(m->gateway, work_atom_v, shard, micros(now_), m->work.take());
    if (!m->withdrawn.empty())
      send(m->gateway, withdraw_atom_v, shard, std::exchange(m->withdrawn, {}));
  }
  dirty_members_.clear();
  if (!status_waiting_.empty() && status_asked_.empty()) collect_status();
  for (const auto id : dirty_sessions_)
    if (auto* s = sessions_.find(id)) flush(*s);
  dirty_sessions_.clear();
  // What was decided meanwhile, of clients that were let go.
  if (!dispatcher_.pending().empty() || dispatcher_.has_placed()) carry_out();
}

void front::collect_placed() {
  auto last = no_index;
  member* m = nullptr; // of `last`
  dispatcher_.take_placed(
      [&](node_number to, token which, const ropewalk::request& r, std::uint16_t service) {
        if (to != last) {
          last = to;
          m = find_member(to);
          touch(to, *m);
        }
        const auto left = std::chrono::ceil<milliseconds>(r.deadline - now_).count();
        m->work.add({which, static_cast<std::uint32_t>(std::max<std::int64_t>(left, 0)), r.fence,
                     service, r.attempt()},
                    r.payload);
      });
}

void front::touch(std::uint32_t node, member& which) {
  if (!std::exchange(which.dirty, true)) dirty_members_.push_back(node);
}

void front::expect_tick() {
  if (std::exchange(tick_expected_, true)) return;
  delayed_send(this, tick_interval, again_atom_v);
}

void front::tick() {
  tick_expected_ = false;
  now_ = clock_now();
  dispatcher_.advance(now_);
  carry_out();
  watch_slow_readers(now_);
  carry_out();
  if (draining_) {
    if (all_done() && by_handle_.empty()) {
      spdlog::info("{}drained: every request is answered", label_);
      quit(caf::exit_reason::user_shutdown);
    } else if (now_ >= drain_end_ + (all_done() ? last_goodbye : milliseconds{0})) {
      spdlog::warn("{}the drain time is over: {} requests are left without an answer", label_,
                   dispatcher_.totals().waiting + dispatcher_.totals().placed);
      quit(caf::exit_reason::user_shutdown);
    } else if (all_done()) {
      // A socket that is closed with unread bytes resets, and the client may lose answers on their
      // way: the end of what is sent goes first, and the connection follows when the client has
      // closed its half, or after closing_time.
      sessions_.for_each([this](session& s) {
        if (!s.closing) close_after_answer(s);
      });
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
  bool all_sent = true;
  sessions_.for_each([&](const session& s) { all_sent = all_sent && s.scribe->output().empty(); });
  return all_sent;
}

} // namespace ropewalk
