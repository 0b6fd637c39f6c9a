#pragma once

#include "net/protocol/result.hpp"
#include "net/transport/stream.hpp"

#include <chrono>
#include <memory>

namespace ropewalk {

/// The broker's side of a connection to its cluster port: not ready until the worker has greeted
/// (net/protocol/cluster_greeting.hpp), over TLS if `connection` is that. Who does not is told, in
/// what it seems to speak, what this port is for; `why` then says who it was. The rest is the
/// connection's.
std::unique_ptr<stream> expect_greeting(std::unique_ptr<stream> connection, bool tls);

/// The worker's side: greets, and waits for the broker's answer. Blocks. The failure says what is at
/// the other end instead of a broker that this worker understands.
result<void> greet_broker(stream& connection, std::chrono::milliseconds timeout);

} // namespace ropewalk
