#include "actors/broker/front.hpp"

#include "actors/time/clock.hpp"

/// What a front says of itself, to whoever asks and to whoever listens, and what it is made do.
namespace ropewalk {

// Rates, the last hour, and the open pages: once a second.
void front::sample() {
  const auto now = clock_now();
  if (expected_.sample_due != instant{}) numbers_.timer_came(expected_.sample_due, now);
  numbers_.sample(now);
  settings_.shard.group->record_load(settings_.shard.number, dispatcher_.load(), now);
  clients_.events().begin_second();
  dispatcher_.release_memory();
  carry_out();
  expected_.sample_due = now + rate_history::interval;
  delayed_send(this, rate_history::interval, sample_atom_v);
}

// With a thousand services a round takes 5 ms: who asks again and again gets his answers a little
// later, and not everybody else.
void front::begin_status_round() {
  const auto began = clock_now();
  clients_.begin_status_round();
  auto own = numbers_.report(began, drain_.draining());
  const auto counting = clock_now() - began;
  status_.begin(std::move(own), [this, counting](const broker_report& all) {
    const auto now = clock_now();
    const auto history = settings_.shard.group->load_since(clients_.events().needs_points_from());
    clients_.end_status_round(all, history, now);
    for (const auto& action : clients_.statuses().take_actions()) act(action);
    const auto end = clock_now();
    clients_.status_took(counting + (end - now), end);
    carry_out();
  });
}

// In every shard, as a node is a member of each, and clients of a service may be anywhere.
void front::act(const operator_action& what) {
  for (const auto& other : settings_.shard.group->other_fronts(settings_.shard.number))
    send(other, act_atom_v, static_cast<std::uint8_t>(what.verb), what.target);
  carry_out(what);
}

void front::carry_out(const operator_action& what) {
  const auto now = clock_now();
  switch (what.verb) {
  case operator_verb::drain:
  case operator_verb::undrain:
    nodes_.set_drained(what.target, what.verb == operator_verb::drain, now);
    break;
  case operator_verb::pause:
  case operator_verb::resume:
    dispatcher_.set_paused(dispatcher_.service_named(what.target),
                           what.verb == operator_verb::pause, now);
    break;
  }
  clients_.events().hurry(now);
  carry_out();
}

} // namespace ropewalk
