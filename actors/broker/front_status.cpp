#include "actors/broker/front.hpp"
#include "net/protocol/frame.hpp"

#include <unistd.h>

/// What the front says of the broker: its own numbers, and those of the other shards, which are
/// asked whenever a client asks.
namespace ropewalk {

namespace {

// A shard that does not answer within this is being started again: the others' numbers must do.
constexpr milliseconds shard_patience{1000};

} // namespace

broker_report front::report() const {
  broker_report result;
  for (const auto& [number, m] : members_) {
    const auto view = dispatcher_.view(number);
    node_report n;
    n.name = m.description.name;
    n.pid = m.description.pid;
    n.address = m.description.host;
    for (const auto& s : m.description.services) {
      n.services.push_back(s.name);
      n.slots += s.slots;
    }
    n.in_flight = view.in_flight;
    n.answered = view.answered;
    result.nodes.push_back(std::move(n));
  }
  result.requests = dispatcher_.totals();
  result.front.restarts = restarts_;
  result.front.connections = by_handle_.size();
  result.front.turned_away = turned_away_;
  result.front.uptime_seconds = std::chrono::duration<double>(clock_now() - started_).count();
  result.front.pid = static_cast<std::uint32_t>(::getpid());
  result.front.draining = draining_;
  result.shards.push_back({result.front.connections, result.requests.placed,
                           result.requests.waiting, result.requests.answered,
                           settings_.shard.number});
  return result;
}

void front::handle_status(session& from, std::uint64_t id) {
  ++from.statuses_due;
  status_waiting_.push_back({from.id, id});
  open_turn(); // all who ask in this turn are answered with the same numbers
}

// One round at a time: who asks while others are being asked wants newer numbers than those.
void front::collect_status() {
  status_asked_ = std::exchange(status_waiting_, {});
  status_ = report();
  const auto others = settings_.shard.group->other_fronts(settings_.shard.number);
  shards_to_hear_ = others.size();
  for (const auto& other : others)
    request(other, shard_patience, status_atom_v)
        .then(
            [this](const broker_report& theirs) {
              status_.add(theirs);
              if (--shards_to_hear_ == 0) tell_status();
            },
            [this](const caf::error&) {
              if (--shards_to_hear_ == 0) tell_status();
            });
  if (others.empty()) tell_status();
}

void front::tell_status() {
  const auto text = shared_bytes::copy_of(status_.json());
  for (const auto& [who, id] : std::exchange(status_asked_, {})) {
    auto* to = sessions_.find(who);
    if (!to) continue;
    --to->statuses_due;
    if (to->closing) continue;
    auto& out = to->scribe->output();
    append_header(out.tail(), frame_kind::status, error_code::ok, id, {}, text.size());
    out.append(text);
    touch(*to);
  }
  carry_out();
}

} // namespace ropewalk
