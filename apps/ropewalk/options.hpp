#pragma once

#include "actors/settings/table.hpp"
#include "net/client/client.hpp"
#include "net/protocol/result.hpp"
#include "net/tls/tls.hpp"
#include "net/transport/endpoint.hpp"

#include <chrono>
#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <vector>

namespace ropewalk {

/// Adds an option for every setting of a broker or of a node, as the table of settings describes
/// it. What is given goes to its field in `into`, which must live until the command line was
/// parsed.
void add_settings(CLI::App& app, broker_tuning& into);
void add_settings(CLI::App& app, node_tuning& into);

/// How `send`, `status` and `bench` reach a broker.
struct connection_options {
  std::string broker = "127.0.0.1:7070";
  tls_files tls;          ///< `authority` alone is enough; nothing: plain TCP
  std::string token_file; ///< empty: none is sent
  bool warns = true;      ///< on stderr, of certificates that are about to end
};

void add_connection(CLI::App& app, connection_options& options);

/// The token in a file, as `ropewalk token` writes it.
result<std::string> read_token(const std::string& path);

/// Connects and says hello.
result<client> connect(const connection_options& options);

/// Adds --cluster-tls: a folder with ca.pem, cert.pem and key.pem, as `ropewalk certs` makes them.
void add_cluster_tls(CLI::App& app, std::string& folder);
tls_files cluster_files(const std::string& folder);

/// Adds --check: read everything, say what is wrong, and end.
void add_check(CLI::App& app, bool& check);

/// Says on stderr all that is wrong with what `command` was told, or that nothing is, and what is to
/// be seen to although it does. Returns the exit status: 2 or 0.
int report_check(const std::string& command, const std::vector<std::string>& problems,
                 const std::vector<std::string>& warnings = {});

/// What is to be said of the certificates of these contexts, of which each may be null.
std::vector<std::string> warnings_of(std::span<const tls_context* const> contexts);

/// Accepts only HOST:PORT.
CLI::Validator is_endpoint();

/// Accept only what parse_wait and parse_size do.
CLI::Validator is_wait();
CLI::Validator is_size();

} // namespace ropewalk
