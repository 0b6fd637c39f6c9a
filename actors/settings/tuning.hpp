#pragma once

#include "actors/dispatch/settings.hpp"
#include "actors/supervise/restart_policy.hpp"
#include "net/protocol/limits.hpp"

#include <cstddef>
#include <cstdint>

/// The fields that the table of settings sets, with their defaults. What they mean and within which
/// bounds they are stands there.
namespace ropewalk {

/// How many clients a broker process lets in.
struct connection_settings {
  std::uint64_t connections = 20'000;
  std::uint64_t connections_per_address = 0;
};

/// The numbers of a broker: of the process, or after `share_of` of one of its shards.
struct broker_tuning {
  std::size_t max_message_bytes = limits::default_max_message_bytes;
  dispatch_settings dispatch;
  std::uint64_t unread_answers = 16 * limits::mib;
  milliseconds unread_answers_time{30'000};
  std::uint64_t answers_memory = 256 * limits::mib;
  connection_settings clients;
  milliseconds hello_time{10'000};
  milliseconds message_time{60'000};
  milliseconds idle_time{3'600'000};
  milliseconds drain_time{limits::default_drain_time_ms};
  std::uint16_t shards = 1;
  restart_policy::settings restarts; ///< of what a supervisor starts
};

/// The numbers of a node.
struct node_tuning {
  std::size_t max_message_bytes = limits::default_max_message_bytes;
  milliseconds drain_time{limits::default_drain_time_ms};
  std::uint32_t slots = 0; ///< as it was said; whoever starts a node makes a number of 0
  restart_policy::settings restarts;
};

} // namespace ropewalk
