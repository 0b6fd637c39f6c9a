#pragma once

#include "net/client/client.hpp"
#include "net/protocol/limits.hpp"
#include "net/tls/tls.hpp"
#include "net/transport/endpoint.hpp"

#include <chrono>
#include <CLI/CLI.hpp>
#include <string>
#include <variant>

namespace ropewalk {

/// Adds the option of a limit: its name, default, range and reason come from limits.hpp.
CLI::Option* add_limit(CLI::App& app, const limit& which, std::uint64_t& value);
CLI::Option* add_limit(CLI::App& app, const limit& which, std::chrono::milliseconds& value);

/// How `send`, `status` and `bench` reach a broker.
struct connection_options {
  std::string broker = "127.0.0.1:7070";
  tls_files tls;          ///< `authority` alone is enough; nothing: plain TCP
  std::string token_file; ///< empty: none is sent
};

void add_connection(CLI::App& app, connection_options& options);

/// Connects and says hello; the error is a sentence.
std::variant<client, socket_error> connect(const connection_options& options);

/// Adds --cluster-tls: a folder with ca.pem, cert.pem and key.pem, as `ropewalk certs` makes them.
void add_cluster_tls(CLI::App& app, std::string& folder);
tls_files cluster_files(const std::string& folder);

/// Accepts only HOST:PORT.
CLI::Validator is_endpoint();

/// "250ms", "5s", "2m", or a number of seconds ("0.5"). Throws CLI::ValidationError.
std::chrono::milliseconds parse_duration(const std::string& text);

/// Accepts only what parse_duration does.
CLI::Validator is_duration();

} // namespace ropewalk
