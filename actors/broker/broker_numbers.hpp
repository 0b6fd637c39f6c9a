#pragma once

#include "actors/broker/node_table.hpp"
#include "actors/broker/sessions/client_sessions.hpp"
#include "actors/broker/settings.hpp"
#include "actors/stats/broker_report.hpp"
#include "actors/stats/rate_history.hpp"

namespace ropewalk {

/// What a front says of itself when it is asked for its status: the numbers of its parts, which
/// count as they go, and what is made of these once a second.
class broker_numbers {
public:
  /// All must live as long as this.
  struct sources {
    const broker_settings& settings;
    const dispatcher& work;
    const client_sessions& clients;
    const node_table& nodes;
  };

  broker_numbers(const sources& from, instant start) : from_(from), started_(start) {}

  /// To be called every rate_history::interval: reads the totals of all services, some 100 ns each.
  void sample(instant now);

  /// A timer of the event loop was due then.
  void timer_came(instant due, instant now);

  /// Walks over all services, nodes and clients: for whoever asks now and then.
  [[nodiscard]] broker_report report(instant now, bool draining) const;

private:
  [[nodiscard]] front_totals front(instant now, bool draining) const;

  const sources from_;
  const instant started_;
  rate_history rates_;
  latency_histogram loop_lag_;
};

} // namespace ropewalk
