#include "actors/node/gateway.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <spdlog/spdlog.h>
#include <utility>

namespace ropewalk {

namespace {

// While slots hold back the news of their answers (run_queue::fast), the gateway looks by itself so
// often.
// So it does while messages wait: those that a long one holds up go back.
constexpr milliseconds look_interval{2};

// Without an end for so long, what waits here goes back to the broker: more than the prefetch time,
// in which the slots should have worked off all of it.
constexpr milliseconds stall_time{5};

} // namespace

gateway::gateway(caf::actor_config& config, std::vector<std::shared_ptr<run_queue>> services,
                 std::shared_ptr<start_lease> lease, caf::actor node, std::uint64_t recycle_after,
                 shared_loop* loop)
    : broker(config), services_(std::move(services)), lease_(std::move(lease)),
      slots_(services_.size()), asks_what_waits_(services_.size()), pools_(services_.size()),
      sorted_(services_.size()), node_(std::move(node)), recycle_after_(recycle_after),
      restarts_(services_.size()), loop_(loop) {
  // Work may come before the first slot is up: a queue's slots are idle from the beginning. (Not
  // those of a process, which may take long until it is ready.)
  for (std::uint16_t i = 0; i < service_count(); ++i) {
    slots_[i].resize(services_[i]->slots());
    for (std::uint32_t slot = 0; services_[i]->is_attended_to() && slot < slots_[i].size(); ++slot)
      services_[i]->slot_died(slot);
  }
}

// Others of this process go on.
void gateway::on_exit() {
  if (timers_)
    for (const auto one : {timers_->beat, timers_->tick}) loop_->give_back(one);
  pools_.clear(); // they hold this one
  slots_.clear();
  shards_.clear();
}

caf::behavior gateway::make_behavior() {
  beat();
  if (loop_) {
    timers_ = timers{loop_->take_timer(), loop_->take_timer()};
    loop_->repeat(timers_->beat, start_lease::beat_interval,
                  [this, alive = caf::strong_actor_ptr{ctrl()}] {
                    if (!getf(is_terminated_flag)) beat();
                  });
  }
  return {
      [this](work_atom, shard_number from, std::uint64_t sent_us, const batch& work) {
        take_work(from, sent_us, work);
      },
      [this](leased_atom, shard_number from, std::uint64_t asked_ns, std::uint64_t sent_us) {
        if (from >= shards_.size()) return;
        shards_[from].clock.heard(sent_us, clock_.now());
        lease_->confirmed(from, instant{std::chrono::nanoseconds{asked_ns}});
        tick(); // what could not start may, now
      },
      [this](beat_atom) { beat(); },
      [this](answered_atom) { send_answers(); },
      [this](again_atom) { tick(); },
      [this](withdraw_atom, shard_number from, const std::vector<attempt_ref>& attempts) {
        for (std::uint16_t i = 0; i < service_count(); ++i)
          for (const auto& a : services_[i]->withdraw(from, attempts)) give_back(i, {from, a});
        send_answers();
      },
      [this](slot_up_atom, std::uint16_t service, std::uint32_t slot, caf::actor& who) {
        slot_up(service, slot, std::move(who));
      },
      [this](slot_down_atom, std::uint16_t service, std::uint32_t slot, const std::string& why) {
        slot_down(service, slot, why);
      },
      [this](slot_up_atom, std::uint16_t service, const std::vector<std::uint32_t>& slots,
             const caf::actor& pool) { slots_up(service, slots, pool); },
      [this](slot_down_atom, std::uint16_t service, const std::vector<std::uint32_t>& slots,
             std::uint32_t restarts) { slots_down(service, slots, restarts); },
      [this](waiting_atom, std::uint16_t service) { asks_what_waits_[service] = true; },
      [this](waiting_atom, shard_number from, std::uint16_t service, std::uint32_t count) {
        if (service < pools_.size() && pools_[service])
          send(pools_[service], waiting_atom_v, from, count);
      },
      [this](failing_atom, std::uint16_t service, bool failing) {
        if (failing) close_slots(service);
        if (failing)
          for (const auto& which : services_[service]->take_waiting()) give_back(service, which);
        for (const auto& s : shards_)
          if (s.front) send(s.front, failing_atom_v, s.number, service, failing);
        send_answers();
      },
      [this](attach_atom, shard_number which, caf::actor& front, std::uint32_t number) {
        gain_front(which, std::move(front), number);
      },
      [this](detach_atom, shard_number which) { lose_front(which); },
      [this](drain_atom) { drain(); },
      [this](retired_atom, shard_number which) {
        if (which >= shards_.size()) return;
        shards_[which].retired = true;
        drain_further();
      },
      [this](left_atom, shard_number which) { lose_front(which); },
      [this](joined_atom, std::uint32_t shards) { shards_of_broker_ = shards; },
      [this](status_atom) { return report(); },
  };
}

void gateway::take_work(shard_number from, std::uint64_t sent_us, const batch& work) {
  const auto now = clock_.now();
  if (clock_.slept()) lease_->lapse(); // this may have lain in the socket meanwhile
  if (from >= shards_.size())
    shards_.resize(from + 1u); // the news that it is one may be on its way
  auto& clock = shards_[from].clock;
  clock.heard(sent_us, now);
  const auto sent = now - clock.age(sent_us, now);
  batch_reader reader{work.flat()};
  while (auto* item = reader.next_work()) {
    if (item->service >= services_.size()) {
      spdlog::error(
          "the broker sent work for a service that this node does not have; it goes back");
      give_back(0, {from, {item->token, item->fence}});
    } else if (draining_) {
      give_back(item->service, {from, {item->token, item->fence}});
    } else {
      sorted_[item->service].push_back(std::move(*item));
      if (++taken_ == recycle_after_) send(node_, recycle_atom_v);
    }
  }
  if (reader.malformed()) spdlog::error("the broker sent a batch that makes no sense");
  for (std::uint16_t i = 0; i < service_count(); ++i) {
    if (sorted_[i].empty()) continue;
    wake(i, services_[i]->push(from, sorted_[i], sent, now,
                               loop_ ? loop_->leader() : leader_id::nobody));
    sorted_[i].clear();
    if (shard_count() > 1 || services_[i]->count().waiting > 0) expect_tick();
  }
  if (draining_) send_answers();
}

void gateway::wake(std::uint16_t service, run_queue::slots_to_wake slots) {
  if (services_[service]->is_attended_to()) {
    if (!slots.empty() && pools_[service])
      send(pools_[service], run_atom_v, std::vector<std::uint32_t>{slots.begin(), slots.end()});
    return;
  }
  for (const auto slot : slots)
    if (slots_[service][slot]) send(slots_[service][slot], run_atom_v);
  // Who has short messages to run leads afterwards.
  if (loop_ && !slots.empty() && services_[service]->fast()) loop_->yield_to_follower();
}

// What was left to a slot that would be done with it at once, it said, and is not.
void gateway::rouse() {
  for (std::uint16_t i = 0; i < service_count(); ++i) wake(i, services_[i]->rouse());
}

void gateway::slot_up(std::uint16_t service, std::uint32_t slot, caf::actor who) {
  slots_[service][slot] = std::move(who);
  tell_slots(service);
  report_lost(service, slot, "its pool fell"); // and left this slot in the middle of a message
  send_answers();
  if (services_[service]->slot_revived(slot)) send(slots_[service][slot], run_atom_v);
}

void gateway::slot_down(std::uint16_t service, std::uint32_t slot, const std::string& why) {
  slots_[service][slot] = nullptr;
  tell_slots(service);
  ++restarts_[service];
  count_restarts(1);
  report_lost(service, slot, why);
  send_answers();
}

// One of them counts it: what all of them say is added up.
void gateway::count_restarts(std::uint32_t count) {
  const auto one = std::find_if(shards_.begin(), shards_.end(), [](auto& s) { return !!s.front; });
  if (count > 0 && one != shards_.end()) send(one->front, restarted_atom_v, one->number, count);
}

// A process is ready that has these slots (or none yet: that is its pool). The pool sees to the
// queue.
void gateway::slots_up(std::uint16_t service, const std::vector<std::uint32_t>& slots,
                       const caf::actor& pool) {
  pools_[service] = pool;
  for (const auto slot : slots) slots_[service][slot] = pool;
  tell_slots(service);
}

// It has gone, or is going; what it was running the pool has answered for. What waits for a service
// without any slot is better off elsewhere.
void gateway::slots_down(std::uint16_t service, const std::vector<std::uint32_t>& slots,
                         std::uint32_t restarts) {
  for (const auto slot : slots) slots_[service][slot] = nullptr;
  tell_slots(service);
  restarts_[service] += restarts;
  count_restarts(restarts);
  if (live_slots(service) == 0)
    for (const auto& which : services_[service]->take_waiting()) give_back(service, which);
  send_answers();
}

// Their pool is gone, and may have had no time to say so.
void gateway::close_slots(std::uint16_t service) {
  if (!services_[service]->is_attended_to()) return;
  pools_[service] = nullptr;
  for (std::uint32_t slot = 0; slot < slots_[service].size(); ++slot) {
    slots_[service][slot] = nullptr;
    report_lost(service, slot, "its pool fell");
  }
  tell_slots(service);
}

void gateway::report_lost(std::uint16_t service, std::uint32_t slot, const std::string& why) {
  const auto had = services_[service]->slot_died(slot);
  if (!had) return;
  answer_item lost;
  lost.token = had->attempt.token;
  lost.fence = had->attempt.fence;
  lost.end = item_end::crashed;
  lost.slot = static_cast<std::uint16_t>(slot + 1);
  lost.payload = shared_bytes::copy_of(why);
  services_[service]->add_answer(had->shard, lost);
}

std::uint32_t gateway::live_slots(std::uint16_t service) const {
  return static_cast<std::uint32_t>(
      std::count_if(slots_[service].begin(), slots_[service].end(),
                    [](const caf::actor& slot) { return slot != nullptr; }));
}

// A slot that is being started again is none that work could be sent to; nor is one that runs for
// long what another shard asked for, and what waits for it is not what it dies of.
void gateway::tell_slots(std::uint16_t service) {
  for (auto& s : shards_) tell_slots(s, service);
}

void gateway::tell_slots(shard& s, std::uint16_t service) {
  if (!s.front) return;
  const auto held = shard_count() > 1
                        ? services_[service]->held_by_others(
                              static_cast<shard_number>(&s - shards_.data()), clock_.now())
                        : 0;
  const auto live = live_slots(service) - std::min(live_slots(service), held);
  if (std::exchange(s.announced_slots[service], live) != live)
    send(s.front, slots_atom_v, s.number, service, live);
}

void gateway::tell_held_slots() {
  if (shard_count() == 1) return;
  for (std::uint16_t i = 0; i < service_count(); ++i) tell_slots(i);
}

void gateway::give_back(std::uint16_t service, const run_queue::origin& which) {
  answer_item back;
  back.token = which.attempt.token;
  back.fence = which.attempt.fence;
  back.end = item_end::returned;
  services_[service]->add_answer(which.shard, back);
}

void gateway::send_answers() {
  bool more = false;
  tell_held_slots();
  for (shard_number i = 0; i < shard_count(); ++i) {
    auto& s = shards_[i];
    // Work may come before the news of who sent it: its answers wait for that.
    if (!s.front) continue;
    batch_builder all;
    for (const auto& service : services_) all.add(service->take_answers(i));
    if (!all.empty()) send(s.front, answers_atom_v, s.number, all.take());
  }
  for (const auto& service : services_) {
    const auto has = service->count();
    more = more || has.waiting > 0 || (shard_count() > 1 && has.running > 0);
  }
  if (more) expect_tick();
  if (draining_) drain_further();
}

void gateway::return_stalled() {
  const auto now = std::chrono::steady_clock::now();
  for (std::uint16_t i = 0; i < service_count(); ++i)
    for (const auto& which : services_[i]->take_stalled(now, stall_time)) give_back(i, which);
}

void gateway::tick() {
  tick_expected_ = false;
  if (lease_->allows(clock_.now())) rouse();
  return_stalled();
  send_answers();
}

void gateway::expect_tick() {
  if (std::exchange(tick_expected_, true)) return;
  if (!loop_) return delayed_send(this, look_interval, again_atom_v);
  loop_->remind(timers_->tick, look_interval, [this, alive = caf::strong_actor_ptr{ctrl()}] {
    if (!getf(is_terminated_flag)) tick();
  });
}

// Says that the node runs, and asks whether it still is a member.
void gateway::beat() {
  const auto now = clock_.now();
  if (clock_.slept()) lease_->lapse();
  if (lease_->beat(now))
    for (const auto& s : shards_)
      if (s.front)
        send(s.front, lease_atom_v, s.number,
             static_cast<std::uint64_t>(now.time_since_epoch().count()));
  ask_what_waits();
  if (!loop_) delayed_send(this, start_lease::beat_interval, beat_atom_v);
}

// Of services that have more processes when much waits, and fewer when nothing does.
void gateway::ask_what_waits() {
  for (std::uint16_t i = 0; i < service_count(); ++i)
    if (asks_what_waits_[i])
      for (const auto& s : shards_)
        if (s.front) send(s.front, waiting_atom_v, s.number, i);
}

void gateway::gain_front(shard_number which, caf::actor front, std::uint32_t number) {
  if (which >= shards_.size()) shards_.resize(which + 1u);
  auto& s = shards_[which];
  s = shard{std::move(front), number, {}, s.clock};
  ++joins_;
  lease_->attach(which, clock_.now());
  for (std::uint16_t i = 0; i < service_count(); ++i) {
    s.announced_slots.push_back(services_[i]->slots()); // so it was said when the node joined
    tell_slots(s, i);
  }
  send_answers();
  if (draining_) drain();
}

// It is gone, or has given this node up: whoever asked there will be answered by somebody else.
void gateway::lose_front(shard_number which) {
  if (which >= shards_.size()) return;
  shards_[which] = shard{};
  lease_->detach(which);
  for (std::uint16_t i = 0; i < service_count(); ++i)
    if (asks_what_waits_[i] && pools_[i]) send(pools_[i], waiting_atom_v, which, std::uint32_t{0});
  for (const auto& service : services_) service->forget(which);
  if (draining_) drain_further();
}

void gateway::drain() {
  draining_ = true;
  for (const auto& service : services_) service->leave();
  for (std::uint16_t i = 0; i < service_count(); ++i)
    for (const auto& which : services_[i]->take_waiting()) give_back(i, which);
  for (const auto& s : shards_)
    if (s.front && !s.retired) send(s.front, retire_atom_v, s.number);
  send_answers();
}

void gateway::drain_further() {
  if (std::none_of(shards_.begin(), shards_.end(), [](auto& s) { return !!s.front; }))
    return send(node_, drained_atom_v);
  if (leaving_ ||
      std::any_of(shards_.begin(), shards_.end(), [](auto& s) { return s.front && !s.retired; }))
    return;
  for (const auto& service : services_) {
    const auto has = service->count();
    if (has.waiting + has.running > 0) return;
    for (shard_number i = 0; i < shard_count(); ++i)
      if (shards_[i].front && service->has_answers(i)) return;
  }
  leaving_ = true;
  for (const auto& s : shards_)
    if (s.front) send(s.front, leave_atom_v, s.number);
}

} // namespace ropewalk
