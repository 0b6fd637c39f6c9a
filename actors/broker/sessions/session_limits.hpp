#pragma once

#include "actors/time/instant.hpp"
#include "net/protocol/limits.hpp"

#include <cstddef>
#include <cstdint>

namespace ropewalk {

/// What clients may hold and how long they may take, as `ropewalk broker` was told (see the limits
/// of the same names).
struct session_limits {
  std::size_t max_message_bytes = limits::max_message.standard;
  milliseconds default_deadline{limits::default_timeout.standard};
  std::uint64_t memory_bytes =
      limits::held_memory.standard; ///< of requests, those on their way too
  std::uint64_t unread_answers_bytes = limits::unread_answers.standard;
  milliseconds unread_answers_time{limits::unread_answers_time.standard};
  std::uint64_t answers_bytes = limits::answers_memory.standard;
  milliseconds hello_time{limits::hello_time.standard};
  milliseconds message_time{limits::message_time.standard};
  milliseconds idle_time{limits::idle_time.standard};
};

} // namespace ropewalk
