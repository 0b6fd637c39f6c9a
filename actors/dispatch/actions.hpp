#pragma once

#include "actors/dispatch/request.hpp"
#include "net/protocol/error.hpp"

#include <string>
#include <vector>

/// What the dispatcher decided and others are to do.
namespace ropewalk {

/// Send this request to this node. Look it up by `find` when doing so: it may be gone by then.
struct placement {
  node_index node;
  token request;
};

/// Tell the client that there will be no reply.
struct refusal {
  connection_index connection;
  std::uint64_t request_id;
  error_code code;
  std::string detail;               ///< a sentence; empty: the code's own
  std::uint32_t retry_after_ms = 0; ///< with BUSY
};

/// Tell the node that nobody wants this attempt's answer: it need not start, or may stop.
struct withdrawal {
  node_index node;
  token request;
  std::uint8_t attempt;
};

struct actions {
  std::vector<placement> place;
  std::vector<refusal> refuse;
  std::vector<withdrawal> withdraw;
  std::vector<connection_index> reading; ///< look at `paused`: read on from it, or no more

  [[nodiscard]] bool empty() const {
    return place.empty() && refuse.empty() && withdraw.empty() && reading.empty();
  }
};

} // namespace ropewalk
