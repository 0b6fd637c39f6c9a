#include "actors/node/pool.hpp"

#include "actors/handlers/handler.hpp"
#include "actors/node/slot.hpp"

#include <caf/all.hpp>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

using self_pointer = caf::stateful_actor<pool_state>*;

void start_slot(self_pointer self, std::uint32_t number) {
  auto& state = self->state;
  state.slots[number] = self->spawn<caf::monitored + caf::detached>(
      slot, state.settings.name, number, state.queue,
      make_handler(state.settings.handler, state.max_reply_bytes), state.gateway, state.max_reply_bytes);
  self->send(state.gateway, slot_up_atom_v, state.service, number, state.slots[number]);
}

std::string text_of(const caf::error& reason) {
  // What a handler threw stands in the error's context as a string.
  if (reason == caf::sec::runtime_error && reason.context().match_elements<std::string>())
    return reason.context().get_as<std::string>(0);
  return caf::to_string(reason);
}

} // namespace

caf::behavior pool(self_pointer self, std::uint16_t service, service_settings settings, std::uint32_t slots,
                   std::size_t max_reply_bytes, restart_policy::settings restarts, std::shared_ptr<run_queue> queue,
                   caf::actor gateway) {
  auto& state = self->state;
  state.service = service;
  state.settings = std::move(settings);
  state.max_reply_bytes = max_reply_bytes;
  state.policy = restart_policy{restarts, service + 1u};
  state.queue = std::move(queue);
  state.gateway = std::move(gateway);
  self->set_down_handler([self](caf::down_msg& down) {
    auto& s = self->state;
    const auto found = std::find(s.slots.begin(), s.slots.end(), down.source);
    if (found == s.slots.end()) return;
    *found = nullptr;
    const auto number = static_cast<std::uint32_t>(found - s.slots.begin());
    const auto why = text_of(down.reason);
    self->send(s.gateway, slot_down_atom_v, s.service, number, why);
    const auto pause = s.policy.fell(std::chrono::steady_clock::now());
    if (!pause) {
      spdlog::error("service {}: its slots fall too often; the last time: {}", s.settings.name, why);
      self->quit(caf::make_error(caf::sec::runtime_error, "too many restarts"));
      return;
    }
    spdlog::warn("service {}: slot {} fell ({}); starting it again in {} ms", s.settings.name, number, why,
                 pause->count());
    self->delayed_send(self, *pause, again_atom_v, number);
  });
  state.slots.resize(slots);
  for (std::uint32_t number = 0; number < slots; ++number) start_slot(self, number);
  return {[self](again_atom, std::uint32_t number) { start_slot(self, number); }};
}

} // namespace ropewalk
