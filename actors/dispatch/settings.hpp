#pragma once

#include "actors/time/instant.hpp"
#include "net/protocol/limits.hpp"

#include <cstdint>

namespace ropewalk {

/// What a dispatcher may hold and hand out. Each is a setting of the same name: actors/settings
/// says what it means, and within which bounds.
struct dispatch_settings {
  std::uint64_t memory = 512 * limits::mib;
  std::uint64_t service_memory = 384 * limits::mib;
  std::uint64_t connection_memory = 64 * limits::mib;
  std::uint32_t connection_requests = 16'384;
  std::uint32_t queue = 1'000'000;
  std::uint64_t node_bytes = 2 * limits::mib;
  std::uint32_t node_prefetch = 4096;
  microseconds node_prefetch_time{2000};
  milliseconds startup_grace{3000};
  milliseconds timeout{30'000};
  milliseconds max_deadline{86'400'000};
  std::uint8_t attempts = 3;
  std::uint32_t retry_share = 20;
  std::uint64_t history_memory = 16 * limits::mib;
  std::uint32_t ends_per_turn = limits::ends_per_turn;
  std::uint16_t shard = 0;       ///< which of the broker's it is: stands in what names a message
  bool export_traces = false;    ///< --otlp: the ends of messages whose trace is sampled are wanted
  bool refuse_unoffered = false; ///< --no-node-reply: requests whose service's last node has left
};

} // namespace ropewalk
