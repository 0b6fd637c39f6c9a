#include "actors/node/gateway.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <utility>

/// What a node says of itself: the gateway asks the pools for what only they know.
namespace ropewalk {

namespace {

// A pool that does not answer within this has come to its end.
constexpr milliseconds pool_timeout{500};

// A report on its way.
struct collection {
  worker_report result;
  caf::response_promise whom;
  std::size_t outstanding = 1; // the gateway's own part

  void one_less() {
    if (--outstanding == 0)
      whom.deliver(shared_worker_report{std::make_shared<const worker_report>(std::move(result))});
  }
};

} // namespace

caf::result<shared_worker_report> gateway::report() {
  const auto round = std::make_shared<collection>();
  round->whom = make_response_promise();
  auto& node = round->result.node;
  node.joins = joins_;
  node.draining = draining_;
  node.shards = shards_of_broker_;
  for (std::size_t i = 0; i < shards_.size() && i < shards_of_broker_; ++i)
    node.shards_joined += shards_[i].front ? 1 : 0;
  round->result.services.resize(services_.size());
  for (std::uint16_t i = 0; i < service_count(); ++i) {
    const auto has = services_[i]->take_report();
    auto& one = round->result.services[i];
    one.runs = has.runs;
    one.state.waiting = has.waiting;
    one.state.waiting_bytes = has.waiting_bytes;
    one.state.slots = services_[i]->slots();
    one.state.slots_ready = live_slots(i);
    one.state.slots_busy = has.busy;
    one.state.restarts = restarts_[i];
    node.waiting += has.waiting;
    node.held_bytes += has.waiting_bytes;
    if (!pools_[i]) continue;
    ++round->outstanding;
    request(pools_[i], pool_timeout, status_atom_v)
        .then(
            [round, i](std::uint64_t recycles, std::uint64_t memory, std::uint32_t processes) {
              auto& state = round->result.services[i].state;
              state.recycles = recycles;
              state.processes_memory = memory;
              state.processes = processes;
              round->one_less();
            },
            [round](const caf::error&) { round->one_less(); });
  }
  const auto whom = round->whom;
  round->one_less();
  return whom;
}

} // namespace ropewalk
