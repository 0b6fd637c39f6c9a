#pragma once

#include "actors/supervise/spawner_wire.hpp"
#include "net/protocol/result.hpp"

#include <string>

namespace ropewalk {

/// `unix:PATH` and `tcp:HOST:PORT`: a server that runs already, and speaks the protocol of handlers
/// that stay up; another broker is one. A node has one way to speak to what stays up, a channel to a
/// process that it may end: so it starts one that does nothing but connect and pass bytes on
/// (`ropewalk relay`), and that is what is returned. It ends when the connection does, is
/// started again with a longer pause each time, and offered once the server says HELLO_OK.
result<program> parse_unix_server(const std::string& path);
result<program> parse_tcp_server(const std::string& address);

/// Has what `parse_..._server` returned speak TLS with its server, and say who it is. Paths of PEM
/// files and of one with a token; empty: without that.
void secure_relay(program& relay, const std::string& authority, const std::string& certificate,
                  const std::string& key, const std::string& token);

std::string unix_server_usage();
std::string tcp_server_usage();

} // namespace ropewalk
