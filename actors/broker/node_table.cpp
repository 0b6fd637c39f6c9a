#include "actors/broker/node_table.hpp"

#include <algorithm>
#include <map>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

// A time as nodes are told it.
std::uint64_t micros(instant at) {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<microseconds>(at.time_since_epoch()).count());
}

} // namespace

node_number node_table::join(node_description description, caf::actor gateway, instant now) {
  // It may have given up waiting for the answer to its last join.
  const auto again = std::find_if(members_.begin(), members_.end(), [&](const auto& known) {
    return known.second.gateway == gateway;
  });
  if (again != members_.end()) lose(again->first, "it joined again", now);
  std::vector<service_offer> offers;
  std::string names;
  for (const auto& service : description.services) {
    offers.push_back({service.name, service.slots, service.min_slots});
    shard_.group->add_service(service.name);
    names += (names.empty() ? "" : ", ") + service.name;
  }
  warn_of_namesake(description);
  const auto number = dispatcher_.join(offers, now, description.name);
  auto& m = members_[number];
  restarts_ += description.restarts;
  spdlog::info("{}node {} joined from {} (pid {}): {}", shard_.label(), description.name,
               description.host, description.pid, names);
  m.description = std::move(description);
  m.gateway = std::move(gateway);
  return number;
}

// A node joins every shard, and the first one first: that one says it.
void node_table::warn_of_namesake(const node_description& who) const {
  if (shard_.number != 0) return;
  const auto other = std::find_if(members_.begin(), members_.end(), [&](const auto& known) {
    return known.second.description.name == who.name;
  });
  if (other == members_.end()) return;
  const auto& d = other->second.description;
  spdlog::warn(
      "a second node is named {}: this one is on {} (pid {}), that one on {} (pid {}); both "
      "get work, status says which is which. Give each a --name of its own",
      who.name, who.host, who.pid, d.host, d.pid);
}

void node_table::lose(node_number which, const std::string& why, instant now) {
  const auto* m = find(which);
  if (!m) return;
  const auto& name = m->description.name;
  const auto had = dispatcher_.view(which).in_flight;
  if (had > 0)
    spdlog::warn("{}node {} is gone ({}); {} messages go to others", shard_.label(), name, why,
                 had);
  else
    spdlog::info("{}node {} is gone ({})", shard_.label(), name, why);
  dispatcher_.lose(which, "node " + name + " is gone (" + why + ")", now);
  warn_unoffered(m->description);
  members_.erase(which);
}

// What waits for a service without a node waits for somebody to start one.
void node_table::warn_unoffered(const node_description& lost) const {
  for (const auto& service : lost.services)
    if (const auto waiting = dispatcher_.waiting_without_node(service.name))
      spdlog::warn("{}no node offers service {} any more; {} requests wait for one "
                   "(--no-node-reply says what becomes of those to come)",
                   shard_.label(), service.name, *waiting);
}

void node_table::leave(node_number which, instant now) {
  const auto* m = find(which);
  if (!m) return;
  const auto gateway = m->gateway;
  const auto shard = m->description.shard;
  lose(which, "it was drained", now);
  self_.send(gateway, left_atom_v, shard);
}

std::vector<node_number> node_table::release_idle(instant now) {
  std::vector<node_number> idle;
  for (const auto& [number, m] : members_)
    if (dispatcher_.view(number).in_flight == 0 && !m.dirty) idle.push_back(number);
  for (const auto number : idle) {
    spdlog::info("{}node {} is let go: it has nothing to do here any more", shard_.label(),
                 find(number)->description.name);
    dispatcher_.lose(number, "it was let go", now);
    members_.erase(number);
  }
  return idle;
}

void node_table::retire(node_number which, instant now) {
  if (find(which)) dispatcher_.retire(which, now);
}

void node_table::set_slots(node_number which, std::uint16_t service, std::uint32_t live,
                           instant now) {
  if (find(which)) dispatcher_.set_slots(which, service, live, now);
}

void node_table::set_failing(node_number which, std::uint16_t service, bool failing, instant now) {
  if (find(which)) dispatcher_.set_failing(which, service, failing, now);
}

void node_table::confirm_retired(node_number which) {
  if (const auto* m = find(which)) self_.send(m->gateway, retired_atom_v, m->description.shard);
}

void node_table::confirm_lease(node_number which, std::uint64_t asked, instant now) {
  if (const auto* m = find(which))
    self_.send(m->gateway, leased_atom_v, m->description.shard, asked, micros(now));
}

void node_table::tell_waiting(node_number which, std::uint16_t service) {
  const auto* m = find(which);
  if (!m || service >= m->description.services.size()) return;
  const auto& name = m->description.services[service].name;
  const auto waiting = dispatcher_.waiting_for_slot(name, which);
  self_.send(m->gateway, waiting_atom_v, m->description.shard, service, waiting);
}

void node_table::carry_out(actions& decided) {
  for (const auto& w : decided.withdraw) {
    auto* m = find(w.node);
    if (!m) continue;
    m->withdrawn.push_back({w.request, w.fence});
    touch(w.node, *m);
  }
  decided.withdraw.clear();
}

void node_table::take_placed(instant now) {
  auto last = no_index;
  member* m = nullptr; // of `last`
  dispatcher_.take_placed([&](node_number to, token which, const request& r,
                              std::uint16_t service) {
    if (to != last) {
      last = to;
      m = find(to);
      touch(to, *m);
    }
    const auto left = std::chrono::ceil<milliseconds>(r.deadline - now).count();
    const auto flags = static_cast<std::uint8_t>(r.alone | r.has_fields << 1);
    const work_head head{which,       static_cast<std::uint32_t>(std::max<std::int64_t>(left, 0)),
                         r.fence,     service,
                         r.attempt(), flags};
    if (r.has_fields) [[unlikely]]
      m->work.add(head, dispatcher_.fields_of(which), r.payload);
    else
      m->work.add(head, r.payload);
  });
}

void node_table::flush(instant now) {
  take_placed(now);
  for (const auto number : dirty_) {
    auto* m = find(number);
    if (!m) continue;
    m->dirty = false;
    const auto shard = m->description.shard;
    if (!m->work.empty()) self_.send(m->gateway, work_atom_v, shard, micros(now), m->work.take());
    if (!m->withdrawn.empty())
      self_.send(m->gateway, withdraw_atom_v, shard, std::exchange(m->withdrawn, {}));
  }
  dirty_.clear();
}

void node_table::set_drained(const std::string& gateway, bool drained, instant now) {
  for (const auto& [number, m] : members_)
    if (caf::to_string(m.gateway) == gateway) dispatcher_.set_drained(number, drained, now);
}

std::vector<node_report> node_table::report() const {
  std::map<node_number, const member*> as_they_joined;
  for (const auto& [number, m] : members_) as_they_joined.emplace(number, &m);
  std::vector<node_report> result;
  for (const auto& [number, one] : as_they_joined) {
    const auto& m = *one;
    const auto view = dispatcher_.view(number);
    node_report n;
    n.name = m.description.name;
    n.gateway = caf::to_string(m.gateway);
    n.pid = m.description.pid;
    n.address = m.description.host;
    for (const auto& s : m.description.services) {
      n.services.push_back(s.name);
      n.slots += s.slots;
    }
    n.in_flight = view.in_flight;
    n.answered = view.answered;
    n.failed = view.failed;
    n.drained = view.drained;
    result.push_back(std::move(n));
  }
  return result;
}

} // namespace ropewalk
