#pragma once

#include "actors/dispatch/request.hpp"
#include "net/protocol/error.hpp"

#include <cstdint>
#include <string>

/// What the dispatcher's events and answers are about (dispatcher.hpp).
namespace ropewalk {

/// What a node brings when it joins: a service and how many messages of it run there at a time.
struct service_offer {
  std::string name;
  std::uint32_t slots = 0;
  std::uint32_t min_slots = 0; ///< that are there if nothing waits, of a range; 0: all
};

/// Whom an accepted answer goes to; `connection` is not valid if nobody waits for it any more.
struct completion {
  connection_id connection;
  std::uint64_t request_id;
};

/// What an answer was, to be counted.
struct answer_facts {
  std::uint32_t bytes = 0;
  error_code code = error_code::ok;
  std::uint16_t slot = 0; ///< that gave it, from 1 on; 0: not known
};

/// What a node says of a run that has ended.
struct run_facts {
  microseconds time{0};   ///< 0: not known
  std::uint16_t slot = 0; ///< from 1 on; 0: not known
};

struct node_view {
  std::uint32_t in_flight = 0;
  std::uint64_t answered = 0;
  std::uint64_t failed = 0; ///< of these, with FAILED
  bool drained = false;     ///< by somebody (set_drained)
};

} // namespace ropewalk
