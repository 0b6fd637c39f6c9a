#pragma once

#include "actors/otlp/otlp_queue.hpp"
#include "actors/otlp/otlp_request.hpp"
#include "actors/otlp/otlp_url.hpp"

#include <memory>
#include <vector>

namespace ropewalk {

/// Sends messages as spans to a collector (OTLP over HTTP, JSON), on a thread of its own: nobody
/// waits for a collector that is slow, or gone. What it cannot take in time is dropped and counted.
/// Plain HTTP.
class otlp_exporter {
public:
  /// Starts the thread, which ends when this goes, or, where it waits for the collector then, as
  /// soon as it has waited long enough.
  otlp_exporter(otlp_url where, otlp_resource resource);
  otlp_exporter(const otlp_exporter&) = delete;
  otlp_exporter& operator=(const otlp_exporter&) = delete;
  ~otlp_exporter();

  /// Any thread; does not block.
  void push(std::vector<message_report>&& messages);

  /// Any thread: how many messages were sent, and dropped.
  [[nodiscard]] otlp_queue::counts totals() const;

  /// Sends what there is without waiting for more. False if that takes longer.
  bool finish(milliseconds timeout);

private:
  class state;
  std::shared_ptr<state> state_; // the thread's as well
};

} // namespace ropewalk
