#include "actors/broker/broker_numbers.hpp"

#include "actors/broker/certificate_watch.hpp"
#include "actors/broker/process_status.hpp"
#include "net/protocol/cluster_greeting.hpp"

#include <algorithm>
#include <numeric>
#include <unistd.h>
#include <utility>

namespace ropewalk {

void broker_numbers::sample(instant now) {
  rates_.begin_sample(now);
  for (service_index i = 0; i < from_.work.service_count(); ++i) {
    const auto& counts = from_.work.counts_of(i);
    rates_.record(i,
                  {counts.submitted, counts.total.count(),
                   std::accumulate(counts.errors.begin(), counts.errors.end(), std::uint64_t{0})});
  }
}

void broker_numbers::timer_came(instant due, instant now) {
  loop_lag_.record(static_cast<std::uint64_t>(std::max(now - due, {}).count()));
}

broker_report broker_numbers::report(instant now, bool draining) const {
  broker_report result;
  result.requests = from_.work.totals();
  result.nodes = from_.nodes.report();
  result.services = from_.work.services(now);
  std::size_t kept = 0;
  for (service_index i = 0; i < result.services.size(); ++i) {
    result.services[i].rates = rates_.of(i);
    if (!from_.work.is_service(i)) continue;
    if (kept != i) result.services[kept] = std::move(result.services[i]);
    ++kept;
  }
  result.services.resize(kept);
  result.process = numbers_of_this_process(from_.clients.size());
  result.front = front(now, draining);
  const auto shard = from_.settings.shard.number;
  result.clients = from_.clients.list(shard, now);
  const auto& cluster = from_.settings.cluster_tls;
  result.certificates =
      report_certificates(from_.clients.gate().tls(), cluster ? cluster->current().get() : nullptr);
  result.shards.push_back({result.front.connections, result.requests.placed,
                           result.requests.waiting, result.requests.answered, shard});
  return result;
}

front_totals broker_numbers::front(instant now, bool draining) const {
  front_totals result;
  result.restarts = from_.nodes.restarts();
  result.connections = from_.clients.size();
  result.rejected = from_.clients.rejected();
  result.cut_off = from_.clients.cut_off();
  result.incoming_bytes = from_.clients.incoming_bytes();
  result.unread_bytes = from_.clients.unread_bytes();
  result.request_memory = from_.settings.dispatch.memory;
  result.answer_memory = from_.settings.answers_memory;
  if (from_.settings.traces && from_.settings.shard.number == 0) { // all shards share it
    const auto traces = from_.settings.traces->totals();
    result.traces_exported = traces.exported;
    result.traces_dropped = traces.dropped;
  }
  result.loop_lag = loop_lag_;
  result.version = own_cluster_greeting().release;
  result.uptime_seconds = std::chrono::duration<double>(now - started_).count();
  result.pid = static_cast<std::uint32_t>(::getpid());
  result.draining = draining;
  return result;
}

} // namespace ropewalk
