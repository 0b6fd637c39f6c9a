#pragma once

#include "actors/dispatch/instant.hpp"
#include "net/protocol/bytes.hpp"

#include <cstdint>
#include <optional>

/// What the dispatcher is asked, and what it keeps of it.
namespace ropewalk {

using token = std::uint64_t; ///< names a request; never used twice
using connection_index = std::uint32_t;
using service_index = std::uint32_t;
using node_index = std::uint32_t;

inline constexpr std::uint32_t no_index = 0xffffffff;

/// What a client asks for.
struct submission {
  connection_index connection = no_index;
  std::uint64_t request_id = 0;
  service_index service = no_index;
  shared_bytes payload;                 ///< shared, not borrowed
  std::optional<milliseconds> timeout;  ///< none: the standard one
  std::optional<std::uint8_t> attempts; ///< none: the standard number
};

/// One request, as much of it as the front needs to send it.
struct request {
  shared_bytes payload;
  std::uint64_t client_id = 0;
  instant deadline;
  instant placed_at;
  connection_index connection = no_index; ///< no_index: nobody waits for the answer any more
  service_index service = no_index;
  std::uint32_t offer = no_index; ///< with whom it is placed; no_index while it waits
  std::uint32_t generation = 0;
  std::uint32_t next = no_index, previous = no_index; ///< in its queue or offer
  std::uint32_t next_of_connection = no_index, previous_of_connection = no_index;
  std::uint8_t attempt = 0;  ///< starts so far; the one that counts is the last
  std::uint8_t charged = 0;  ///< starts that ended with a lost worker
  std::uint8_t attempts = 0; ///< how many of those are allowed
  std::uint32_t cost = 0;    ///< bytes it is counted with
  bool in_use = false;
};

} // namespace ropewalk
