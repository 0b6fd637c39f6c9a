#include "actors/node/node_succession.hpp"

#include "actors/supervise/spawner.hpp"

#include <algorithm>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

using succession_pointer = caf::stateful_actor<succession_state>*;

const service_settings* find(const std::vector<service_settings>& services,
                             const std::string& name) {
  const auto found = std::find_if(services.begin(), services.end(),
                                  [&](const service_settings& s) { return s.name == name; });
  return found == services.end() ? nullptr : &*found;
}

bool same(const std::vector<service_settings>& a, const std::vector<service_settings>& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const service_settings& s) {
           const auto* other = find(b, s.name);
           return other && *other == s;
         });
}

caf::actor start(succession_pointer self, const node_settings& settings) {
  auto started = self->state.with.start(self, settings);
  self->monitor(started);
  return started;
}

void reload(succession_pointer self) {
  auto& state = self->state;
  if (state.draining) return;
  if (state.next) {
    state.reload_again = true;
    return;
  }
  if (!state.with.read) return self->send(state.current, reload_atom_v);
  auto services = state.with.read();
  if (!services)
    return spdlog::error("SIGHUP: nothing is reloaded, and what runs goes on: {}",
                         services.why().text());
  if (same(state.settings.services, *services)) return self->send(state.current, reload_atom_v);
  state.next_settings = state.settings;
  state.next_settings.services = *std::move(services);
  state.next_settings.succeeds = true;
  state.next_settings.restarts_before = 0;
  state.next = start(self, state.next_settings);
}

void reload_again(succession_pointer self) {
  if (std::exchange(self->state.reload_again, false)) reload(self);
}

void release(succession_pointer self, caf::actor& node) {
  self->send(node, release_atom_v);
  self->state.leaving.push_back(std::exchange(node, nullptr));
}

// It is a member of the broker, and has all that it offers.
void promote(succession_pointer self) {
  auto& state = self->state;
  if (self->current_sender() != state.next) return; // the first, or one that was given up
  for (const auto& line : service_changes(state.settings.services, state.next_settings.services))
    spdlog::info("SIGHUP: {}", line);
  release(self, state.current);
  state.current = std::exchange(state.next, nullptr);
  state.settings = std::move(state.next_settings);
  reload_again(self);
}

void give_up(succession_pointer self, const std::string& service, const std::string& why) {
  auto& state = self->state;
  if (self->current_sender() != state.next) return;
  spdlog::error("SIGHUP: service {} does not start: {}; nothing is reloaded, and what runs goes on",
                service, why);
  release(self, state.next);
  reload_again(self);
}

// All are gone that were to drain.
void leave(succession_pointer self) {
  auto& state = self->state;
  if (state.current || !state.leaving.empty()) return;
  // Before the broker hears that this process is gone and runs again elsewhere what had no time.
  spawner::of_process().stop();
  self->quit(caf::exit_reason::user_shutdown);
}

void on_exit(succession_pointer self, const caf::down_msg& down) {
  auto& state = self->state;
  if (down.source == state.current) {
    state.current = nullptr;
    const bool well = state.draining && down.reason == caf::exit_reason::user_shutdown;
    return well ? leave(self) : self->quit(down.reason);
  }
  if (down.source == state.next) {
    state.next = nullptr;
    spdlog::error("SIGHUP: the services that were to be do not work: {}; nothing is reloaded",
                  caf::to_string(down.reason));
    return reload_again(self);
  }
  std::erase_if(state.leaving, [&](const caf::actor& node) { return node == down.source; });
  leave(self);
}

void drain_running(succession_pointer self) {
  auto& state = self->state;
  if (std::exchange(state.draining, true)) return;
  if (state.next) release(self, state.next);
  for (const auto& node : state.leaving) self->send(node, drain_atom_v); // within the drain time
  self->send(state.current, drain_atom_v);
}

} // namespace

std::vector<std::string> service_changes(const std::vector<service_settings>& before,
                                         const std::vector<service_settings>& after) {
  std::vector<std::string> lines;
  for (const auto& service : after) {
    const auto* was = find(before, service.name);
    const auto is = was && *was == service ? " is as it was, and started anew"
                    : was && was->handler == service.handler
                        ? " has other options, and takes the place of the old one, which drains"
                    : was ? " is now " + service.handler.text + ", in place of " +
                                was->handler.text + ", which drains"
                          : " is new: " + service.handler.text;
    lines.push_back("service " + service.name + is);
  }
  for (const auto& service : before)
    if (!find(after, service.name))
      lines.push_back("service " + service.name + " is offered no more, and drains");
  return lines;
}

caf::behavior node_succession(succession_pointer self, succession_settings settings) {
  auto& state = self->state;
  state.with = std::move(settings);
  state.settings = state.with.first;
  self->set_down_handler([self](caf::down_msg& down) { on_exit(self, down); });
  state.current = start(self, state.settings);
  return {
      [self](reload_atom) { reload(self); },
      [self](drain_atom) { drain_running(self); },
      [self](ready_atom) { promote(self); },
      [self](failing_atom, const std::string& service, const std::string& why) {
        give_up(self, service, why);
      },
  };
}

} // namespace ropewalk
