#include "actors/node/pool.hpp"

#include "net/cluster/error_words.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

using pool_pointer = caf::stateful_actor<pool_state>*;

void start_slot(pool_pointer self, std::uint32_t number) {
  auto& state = self->state;
  state.slots[number] = state.settings.start_slot(self, number);
  self->send(state.gateway, slot_up_atom_v, state.settings.service, number, state.slots[number]);
}

// How often runs are looked at that cannot be ended.
constexpr milliseconds hang_interval{100};

void write_off(pool_pointer self, std::uint32_t number) {
  auto& s = self->state;
  const auto& hangs = *s.settings.hangs;
  const auto why = "service " + s.settings.name + ": a run in slot " + std::to_string(number) +
                   " hangs, " + std::to_string(hangs.stop_timeout.count()) +
                   " ms after nobody wanted its answer any more (stop-timeout)";
  hangs.take_place(number);
  s.written_off[number] = std::exchange(s.slots[number], nullptr);
  self->send(s.gateway, slot_down_atom_v, s.settings.service, number, why);
  spdlog::error("{}; the slot is written off, since a thread cannot be ended", why);
  hangs.replace_process(why);
}

void check_hangs(pool_pointer self) {
  auto& s = self->state;
  const auto now = self->clock().now();
  for (std::uint32_t number = 0; number < s.slots.size(); ++number)
    if (s.overdue->is_overdue(number, s.settings.hangs->unwanted_run(number), now) &&
        s.slots[number])
      write_off(self, number);
  self->delayed_send(self, hang_interval, beat_atom_v);
}

// True if it was one that had been written off: its run has come to an end.
bool is_back(pool_pointer self, const caf::down_msg& down) {
  auto& s = self->state;
  const auto found = std::find(s.written_off.begin(), s.written_off.end(), down.source);
  if (found == s.written_off.end()) return false;
  *found = nullptr;
  const auto number = static_cast<std::uint32_t>(found - s.written_off.begin());
  spdlog::warn("service {}: the run that hung in slot {} has ended; starting the slot again",
               s.settings.name, number);
  start_slot(self, number);
  return true;
}

} // namespace

caf::behavior pool(pool_pointer self, pool_settings settings, caf::actor gateway) {
  auto& state = self->state;
  state.policy = restart_policy{settings.restarts, settings.service + 1u};
  state.settings = std::move(settings);
  state.gateway = std::move(gateway);
  self->set_down_handler([self](caf::down_msg& down) {
    if (is_back(self, down)) return;
    auto& s = self->state;
    const auto found = std::find(s.slots.begin(), s.slots.end(), down.source);
    if (found == s.slots.end()) return;
    *found = nullptr;
    const auto number = static_cast<std::uint32_t>(found - s.slots.begin());
    const auto why = words_of(down.reason);
    // Before the gateway hears of it, which then takes the message out of there.
    const auto cause =
        s.settings.message_in ? s.settings.message_in(number) : std::optional<std::uint64_t>{};
    self->send(s.gateway, slot_down_atom_v, s.settings.service, number, why);
    const auto pause = s.policy.on_exit(self->clock().now(), cause);
    if (!pause) {
      spdlog::error("service {}: its slots fall too often; the last time: {}", s.settings.name,
                    why);
      self->quit(caf::make_error(caf::sec::runtime_error, "too many restarts"));
      return;
    }
    spdlog::warn("service {}: slot {} fell ({}); starting it again in {} ms", s.settings.name,
                 number, why, pause->count());
    self->delayed_send(self, *pause, again_atom_v, number);
  });
  // Slots have threads, which do not end for want of somebody who knows them.
  self->set_exit_handler([self](caf::exit_msg& why) {
    for (const auto& slot : self->state.slots)
      if (slot) self->send_exit(slot, why.reason);
    self->quit(why.reason);
  });
  state.slots.resize(state.settings.slots);
  state.written_off.resize(state.settings.slots);
  for (std::uint32_t number = 0; number < state.settings.slots; ++number) start_slot(self, number);
  if (const auto& hangs = state.settings.hangs) {
    state.overdue.emplace(state.settings.slots, hangs->stop_timeout);
    self->delayed_send(self, hang_interval, beat_atom_v);
  }
  return {
      [self](again_atom, std::uint32_t number) { start_slot(self, number); },
      [self](beat_atom) { check_hangs(self); },
  };
}

} // namespace ropewalk
