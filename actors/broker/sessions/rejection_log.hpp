#pragma once

#include "actors/log/log_rate_limiter.hpp"

#include <cstdint>
#include <string>
#include <utility>

namespace ropewalk {

/// Who is not let in, and what is not done: in the log, a few times a second, and as a number.
class rejection_log {
public:
  /// A connection is rejected: `what` says whose, and why.
  void connection(instant now, std::string what) {
    ++connections_;
    log_.warn(now, std::move(what));
  }

  /// A request is, and its connection goes on.
  void request(instant now, std::string what) { log_.warn(now, std::move(what)); }

  /// Connections that were rejected, ever.
  [[nodiscard]] std::uint64_t connections() const { return connections_; }

private:
  log_rate_limiter log_;
  std::uint64_t connections_ = 0;
};

} // namespace ropewalk
