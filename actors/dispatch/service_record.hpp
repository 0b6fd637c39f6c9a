#pragma once

#include "actors/dispatch/key_lanes.hpp"
#include "actors/dispatch/message_history.hpp"
#include "actors/dispatch/service_queue.hpp"
#include "actors/stats/service_report.hpp"

#include <cstdint>
#include <string>
#include <utility>

namespace ropewalk {

/// What the dispatcher keeps of a service: what waits for it, and what it counts.
struct service_record {
  service_record(std::string its_name, std::uint32_t retry_share, const keyed_hash& hash,
                 const notable_times& times)
      : name(std::move(its_name)), queue(retry_share), keys(hash), notable(times) {}

  std::string name;
  service_queue queue;
  key_lanes keys;
  std::uint64_t bytes = 0;   // of its requests that wait for an answer
  std::uint32_t answers = 0; // since `window` began
  instant window{};
  double answers_per_second = 0; // in the window before
  bool only_asked = false;       // by who came before any node: until grace_end_ it may yet come
  bool unoffered = false;        // its last node has left, at that time:
  instant unoffered_since{};
  instant unoffered_asked{}; // when it was asked for since
  bool runnable = false;     // to be looked at before the event is over
  bool paced = false;        // has retries that wait for the budget
  notable_times notable;
  service_counts counts;

  [[nodiscard]] std::uint32_t waiting() const { return queue.size() + keys.waiting(); }
};

} // namespace ropewalk
