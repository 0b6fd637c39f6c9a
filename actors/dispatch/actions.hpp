#pragma once

#include "actors/dispatch/request.hpp"
#include "net/protocol/error.hpp"

#include <string>
#include <vector>

/// What the dispatcher decided and others are to do.
namespace ropewalk {

/// Tell the client that there will be no reply.
struct refusal {
  connection_id connection;
  std::uint64_t request_id;
  error_code code;
  std::string detail;               ///< a sentence; empty: the code's own
  std::uint32_t retry_after_ms = 0; ///< with BUSY
  service_index service = 0;
  std::string trace = {}; ///< the id of its trace, in hexadecimal digits; empty: it has none
};

/// Tell the node that nobody wants the answer of this placing: it need not start, or may stop.
struct withdrawal {
  node_number node;
  token request;
  std::uint32_t fence;
};

/// Whom an action concerns may be gone when it is carried out, by something that was decided
/// since: who carries it out looks it up by its identity, which is never another's.
struct actions {
  std::vector<refusal> refuse;
  std::vector<withdrawal> withdraw;
  std::vector<connection_id> reading; ///< look at `paused`: read on from it, or no more

  [[nodiscard]] bool empty() const { return refuse.empty() && withdraw.empty() && reading.empty(); }
};

} // namespace ropewalk
