#pragma once

#include "actors/stats/broker_report.hpp"
#include "actors/stats/message_report.hpp"
#include "actors/stats/worker_report.hpp"
#include "net/cluster/compact_form.hpp"
#include "net/protocol/batch.hpp"

#include <caf/all.hpp>
#include <cstdint>
#include <string>
#include <vector>

/// Every type and atom that CAF messages carry, with what is said by them. A newer CAF has another
/// way to register and to inspect them; more than this file, it would touch net/cluster/, which
/// knows the insides of the release that CMakeLists.txt names.
namespace ropewalk {

struct offered_service {
  std::string name;
  std::uint32_t slots = 0;
  std::uint32_t min_slots = 0; ///< of a range; 0: all of them are always to be there
};

/// What a node says of itself when it joins a broker, or one shard of it.
struct node_description {
  std::string name;
  std::uint32_t pid = 0;
  std::string host;
  std::uint32_t restarts = 0; ///< 1 if its master started it in place of one that fell
  std::uint16_t shard =
      0; ///< what the node calls this shard; stands in all that the shard sends it
  std::vector<offered_service> services;
};

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, offered_service& x) {
  return f(caf::meta::type_name("offered_service"), x.name, x.slots, x.min_slots);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, node_description& x) {
  return f(caf::meta::type_name("node_description"), x.name, x.pid, x.host, x.restarts, x.shard,
           x.services);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, attempt_ref& x) {
  return f(caf::meta::type_name("attempt_ref"), x.token, x.fence);
}

/// Between the shards of a process, which share its memory: these never leave it.
using shared_query = std::shared_ptr<const message_query>;
using shared_reports = std::shared_ptr<const std::vector<message_report>>;

/// Within a node, likewise.
using shared_worker_report = std::shared_ptr<const worker_report>;

/// A batch is written straight from its pieces, and read into memory that is not filled with zeros
/// first. (Between nodes batches travel in compact frames: frequent_messages.)
caf::error inspect(caf::serializer& sink, batch& x);
caf::error inspect(caf::deserializer& source, batch& x);

template <class Inspector, class = std::enable_if_t<
                               std::is_same_v<Inspector, caf::detail::stringification_inspector>>>
typename Inspector::result_type inspect(Inspector& f, batch& x) {
  auto bytes = static_cast<std::uint64_t>(x.size());
  return f(caf::meta::type_name("batch"), bytes);
}

/// Numbers that are described by fields (actors/stats/described.hpp).
template <class Inspector, class T>
requires requires {
  T::fields();
}
typename Inspector::result_type inspect(Inspector& f, T& x) {
  return std::apply([&](const auto&... one) { return f(x.*one.member...); }, T::fields());
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, service_report& x) {
  return f(caf::meta::type_name("service_report"), x.state, x.counts, x.rates);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, broker_report& x) {
  return f(caf::meta::type_name("broker_report"), x.requests, x.front, x.process, x.nodes,
           x.services, x.shards, x.certificates, x.clients);
}

} // namespace ropewalk

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ropewalk::shared_query)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ropewalk::shared_reports)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ropewalk::shared_worker_report)

// clang-format off
CAF_BEGIN_TYPE_ID_BLOCK(ropewalk, caf::first_custom_type_id)

  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::offered_service))
  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::node_description))
  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::attempt_ref))
  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::batch))
  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::node_report))
  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::shard_report))
  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::certificate_report))
  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::service_report))
  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::client_report))
  CAF_ADD_TYPE_ID(ropewalk, (ropewalk::broker_report))
  CAF_ADD_TYPE_ID(ropewalk, (std::vector<ropewalk::offered_service>))
  CAF_ADD_TYPE_ID(ropewalk, (std::vector<ropewalk::attempt_ref>))
  CAF_ADD_TYPE_ID(ropewalk, (std::vector<std::uint16_t>))
  CAF_ADD_TYPE_ID(ropewalk, (std::vector<std::uint32_t>))

  // node -> cluster: (join, node_description, gateway), answered by (welcome, node number, front, cluster ports of all
  // shards, or none if there is just this one) or an error
  CAF_ADD_ATOM(ropewalk, ropewalk, join_atom, "join")
  CAF_ADD_ATOM(ropewalk, ropewalk, welcome_atom, "welcome")

  // front -> gateway, each with the number by which the node knows the shard: (work, shard, when it was sent, batch of
  // work_item); (withdraw, shard, attempts that nobody waits for). Times are microseconds of the sender's clock.
  CAF_ADD_ATOM(ropewalk, ropewalk, work_atom, "work")
  CAF_ADD_ATOM(ropewalk, ropewalk, withdraw_atom, "withdraw")

  // gateway -> front, each with the node's number: (answers, node, batch of answer_item); (restarted, node, count);
  // (slots, node, service, how many of them there are for this shard), ahead of the answer that says what one of them died of;
  // (failing, node, service, bool). A node that drains says (retire, node): no more work, answered by (retired, shard);
  // at its end (leave, node), answered by (left, shard), behind which nothing follows.
  CAF_ADD_ATOM(ropewalk, ropewalk, answers_atom, "answers")
  // (lease, node, when it asks, in nanoseconds): is it still a member? Answered by (leased, shard, when it asked, when it
  // was answered), behind all that was decided before.
  CAF_ADD_ATOM(ropewalk, ropewalk, lease_atom, "lease")
  // (waiting, node, service): how many requests wait for it? Answered by (waiting, shard, service, how many). Of services
  // with processes that come and go, every now and then.
  CAF_ADD_ATOM(ropewalk, ropewalk, waiting_atom, "waiting")
  CAF_ADD_ATOM(ropewalk, ropewalk, leased_atom, "leased")
  CAF_ADD_ATOM(ropewalk, ropewalk, restarted_atom, "restarted")
  CAF_ADD_ATOM(ropewalk, ropewalk, slots_atom, "slots")
  CAF_ADD_ATOM(ropewalk, ropewalk, failing_atom, "failing")
  CAF_ADD_ATOM(ropewalk, ropewalk, retire_atom, "retire")
  CAF_ADD_ATOM(ropewalk, ropewalk, retired_atom, "retired")
  CAF_ADD_ATOM(ropewalk, ropewalk, leave_atom, "leave")
  CAF_ADD_ATOM(ropewalk, ropewalk, left_atom, "left")

  // cluster -> membership (release): the broker goes down and has nothing for this node any more, which may look for the
  // next one
  CAF_ADD_ATOM(ropewalk, ropewalk, release_atom, "release")

  // front -> supervisor -> cluster (release, node); within a broker: cluster -> front (admit, description, gateway), answered by the node's number;
  // (lost, node, why); supervisor -> cluster (new_front, front); front -> supervisor (ready, its ports);
  // front -> fronts of the other shards, in the same process: (status), answered by a broker_report; (explain, query),
  // answered by reports;
  // front -> front (sample): the totals of this second are read
  CAF_ADD_ATOM(ropewalk, ropewalk, admit_atom, "admit")
  CAF_ADD_ATOM(ropewalk, ropewalk, lost_atom, "lost")
  CAF_ADD_ATOM(ropewalk, ropewalk, new_front_atom, "newfront")
  CAF_ADD_ATOM(ropewalk, ropewalk, ready_atom, "ready")
  CAF_ADD_ATOM(ropewalk, ropewalk, status_atom, "status")
  CAF_ADD_ATOM(ropewalk, ropewalk, explain_atom, "explain")
  CAF_ADD_ATOM(ropewalk, ropewalk, sample_atom, "sample")

  // within a node: membership -> gateway (attach, shard, front, number) and (detach, shard); membership -> node
  // (joined, shard, ports as in welcome), (settled, shard): it is not about to join any more; gateway -> slot (run);
  // slot -> gateway (answered); pool -> gateway (slot_up, service, slot, actor),
  // (slot_down, service, slot, why); gateway -> node (drained), (recycle); pool -> node (recycle, why), and to itself
  // (beat). Of services whose slots are those of processes: gateway -> process_pool (run, slots); back (slot_up, service,
  // slots, pool), (slot_down, service, slots, how many processes that were ready have ended), (waiting, service): it
  // wants to know what waits, as (waiting, shard, how many, at a broker's shard); node -> process_pool
  // (drain), answered by (drained); back (ready, service) once, when all are, and until then (failing, service, why).
  // node_succession -> node (release); back (ready), and until then (failing, service, why).
  // node -> gateway (joined, how many shards the broker has); http_front -> gateway (status), answered by a worker_report
  // without names; gateway -> process_pool (status), answered by (recycled processes, bytes of memory, processes that are
  // ready); to http_front (attach, gateway, its services) and (attach, the top of the process)
  CAF_ADD_ATOM(ropewalk, ropewalk, joined_atom, "joined")
  CAF_ADD_ATOM(ropewalk, ropewalk, settled_atom, "settled")
  CAF_ADD_ATOM(ropewalk, ropewalk, attach_atom, "attach")
  CAF_ADD_ATOM(ropewalk, ropewalk, detach_atom, "detach")
  CAF_ADD_ATOM(ropewalk, ropewalk, run_atom, "run")
  CAF_ADD_ATOM(ropewalk, ropewalk, answered_atom, "answered")
  CAF_ADD_ATOM(ropewalk, ropewalk, slot_up_atom, "slotup")
  CAF_ADD_ATOM(ropewalk, ropewalk, slot_down_atom, "slotdown")
  CAF_ADD_ATOM(ropewalk, ropewalk, drained_atom, "drained")
  CAF_ADD_ATOM(ropewalk, ropewalk, recycle_atom, "recycle")
  CAF_ADD_ATOM(ropewalk, ropewalk, beat_atom, "beat")

  // to the top of a broker process, and on to the front: (reload): read certificates and tokens again
  CAF_ADD_ATOM(ropewalk, ropewalk, reload_atom, "reload")
  CAF_ADD_ATOM(ropewalk, ropewalk, sweep_timeouts_atom, "patrol")

  // front -> fronts of the other shards: (act, operator_verb, what it is done to)
  CAF_ADD_ATOM(ropewalk, ropewalk, act_atom, "act")

  // everywhere: (drain): finish what runs, take nothing new; (again): a timer
  CAF_ADD_ATOM(ropewalk, ropewalk, drain_atom, "drain")
  CAF_ADD_ATOM(ropewalk, ropewalk, again_atom, "again")

CAF_END_TYPE_ID_BLOCK(ropewalk)
// clang-format on

namespace ropewalk {

/// Batches, which are most of what brokers and nodes say to each other.
inline compact_forms frequent_messages() {
  return {std::make_shared<compact_form_of<work_atom, std::uint16_t, std::uint64_t, batch>>(),
          std::make_shared<compact_form_of<answers_atom, std::uint32_t, batch>>()};
}

} // namespace ropewalk
