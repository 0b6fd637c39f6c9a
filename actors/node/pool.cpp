#include "actors/node/pool.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

using self_pointer = caf::stateful_actor<pool_state>*;

void start_slot(self_pointer self, std::uint32_t number) {
  auto& state = self->state;
  state.slots[number] = state.settings.start_slot(self, number);
  self->send(state.gateway, slot_up_atom_v, state.settings.service, number, state.slots[number]);
}

std::string text_of(const caf::error& reason) {
  // What a handler threw stands in the error's context as a string.
  if (reason == caf::sec::runtime_error && reason.context().match_elements<std::string>())
    return reason.context().get_as<std::string>(0);
  return caf::to_string(reason);
}

} // namespace

caf::behavior pool(self_pointer self, pool_settings settings, caf::actor gateway) {
  auto& state = self->state;
  state.policy = restart_policy{settings.restarts, settings.service + 1u};
  state.settings = std::move(settings);
  state.gateway = std::move(gateway);
  self->set_down_handler([self](caf::down_msg& down) {
    auto& s = self->state;
    const auto found = std::find(s.slots.begin(), s.slots.end(), down.source);
    if (found == s.slots.end()) return;
    *found = nullptr;
    const auto number = static_cast<std::uint32_t>(found - s.slots.begin());
    const auto why = text_of(down.reason);
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
  for (std::uint32_t number = 0; number < state.settings.slots; ++number) start_slot(self, number);
  return {[self](again_atom, std::uint32_t number) { start_slot(self, number); }};
}

} // namespace ropewalk
