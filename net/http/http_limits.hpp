#pragma once

#include "net/protocol/limits.hpp"

/// The limits of HTTP that no option changes.
namespace ropewalk::limits {

/// The head of an HTTP request, and what stands between two chunks of a body, in bytes: what other
/// servers take, too, and more than any client here has to say.
inline constexpr std::size_t max_http_head_bytes = 8 * kib;

/// How long an HTTP connection stays that has nothing to ask, in milliseconds; --idle-time, where
/// that is shorter. Clients and proxies open another when they need one.
inline constexpr std::uint32_t http_idle_ms = 75'000;

} // namespace ropewalk::limits
