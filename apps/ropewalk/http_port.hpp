#pragma once

#include "actors/admin/http_guard.hpp"
#include "actors/broker/sessions/client_access.hpp"
#include "net/protocol/result.hpp"
#include "net/transport/endpoint.hpp"

#include <CLI/CLI.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

/// --http, as a broker or a worker was told.
struct http_port_options {
  std::string where; ///< HOST:PORT; empty: no HTTP
  bool insecure = false;
};

/// Where that is.
struct http_port {
  std::vector<endpoint> addresses;
  http_guard guard;
};

/// Adds --http, of which `what` is there, and --insecure-http.
void add_http_port(CLI::App& app, http_port_options& into, const std::string& what);

/// Adds --tls-cert, --tls-key, --client-ca and --access-file; `who_may`: what the last one is for.
void add_client_access(CLI::App& app, client_access_settings& into, const std::string& who_may);

/// Resolves it. The failure says what is wrong, such as that strangers could come in: `they_could`
/// says what those could do.
result<http_port> open_http_port(const http_port_options& options,
                                 const client_access_settings& access, std::string_view they_could);

} // namespace ropewalk
