#include "apps/ropewalk/options.hpp"

#include <csignal>
#include <fstream>
#include <iostream>

namespace ropewalk {

namespace {

std::string help(const setting& which) {
  return std::string{which.reason()} + " (" + std::string{which.unit()} + ", default " +
         std::to_string(which.default_value()) + ")";
}

template <class Owner>
void add_settings_of(CLI::App& app, Owner& into) {
  for (const auto& s : all_settings) {
    if (!s.is_of<Owner>()) continue;
    app.add_option_function<std::uint64_t>(
           "--" + std::string{s.name()}, [&s, &into](std::uint64_t value) { s.set(into, value); },
           help(s))
        ->check(CLI::Range(s.min(), s.max()))
        ->group("Limits");
  }
}

} // namespace

void add_settings(CLI::App& app, broker_tuning& into) {
  add_settings_of(app, into);
}

void add_settings(CLI::App& app, node_tuning& into) {
  add_settings_of(app, into);
}

namespace {

constexpr std::chrono::seconds connect_timeout{5};

result<client> open_connection(const connection_options& options) {
  const auto where = *parse_endpoint(options.broker);
  if (options.tls.authority.empty()) return client::connect(where, connect_timeout);
  // OpenSSL writes as to a pipe: a broker that resets the connection would end this process, and the
  // reason that it gave would not be read.
  ::signal(SIGPIPE, SIG_IGN);
  const auto context = tls_context::for_client(options.tls, roles::client_to_broker);
  if (!context) return context.why();
  auto connected = connect_tls(where, **context, connect_timeout);
  if (!connected) return std::move(connected).why();
  return client{*std::move(connected)};
}

// The first line of the file, so that an editor's newline does no harm.
result<std::string> read_token(const std::string& path) {
  std::ifstream in{path};
  std::string token;
  if (!std::getline(in, token) || token.empty())
    return failure{failure_kind::unavailable, "there is no token in " + path, {}};
  if (token.back() == '\r') token.pop_back();
  return token;
}

} // namespace

void add_connection(CLI::App& app, connection_options& options) {
  app.add_option("--broker", options.broker, "the broker's client port")
      ->check(is_endpoint())
      ->envname("ROPEWALK_BROKER")
      ->capture_default_str();
  auto* authority = app.add_option("--tls-ca", options.tls.authority,
                                   "speak TLS with a broker whose certificate comes from this one "
                                   "(a PEM file)")
                        ->envname("ROPEWALK_TLS_CA");
  auto* certificate =
      app.add_option("--tls-cert", options.tls.certificate, "show this certificate (a PEM file)")
          ->envname("ROPEWALK_TLS_CERT");
  certificate->needs(authority);
  auto* key = app.add_option("--tls-key", options.tls.key, "its key (a PEM file)")
                  ->envname("ROPEWALK_TLS_KEY");
  key->needs(certificate);
  certificate->needs(key);
  app.add_option("--token-file", options.token_file, "send the token in this file")
      ->envname("ROPEWALK_TOKEN_FILE");
}

result<client> connect(const connection_options& options) {
  auto connected = open_connection(options);
  if (!connected || options.token_file.empty()) return connected;
  const auto token = read_token(options.token_file);
  if (!token) return token.why();
  if (auto welcome = connected->hello(*token, connect_timeout); !welcome)
    return std::move(welcome).why();
  return connected;
}

void add_cluster_tls(CLI::App& app, std::string& folder) {
  app.add_option("--cluster-tls", folder,
                 "encrypt what goes between broker and workers, and let in only who has a "
                 "certificate: a folder with ca.pem, cert.pem and key.pem (`ropewalk certs`)")
      ->check(CLI::ExistingDirectory);
}

tls_files cluster_files(const std::string& folder) {
  return {folder + "/cert.pem", folder + "/key.pem", folder + "/ca.pem"};
}

void add_check(CLI::App& app, bool& check) {
  app.add_flag("--check", check,
               "read everything (the configuration file, certificates, the access file, services), "
               "say all that is wrong, and end: status 0, or 2 if something is");
}

int report_check(const std::string& command, const std::vector<std::string>& problems) {
  for (const auto& problem : problems)
    std::cerr << "ropewalk " << command << ": " << problem << '\n';
  if (!problems.empty()) return 2;
  std::cerr << "ropewalk " << command << ": everything is in order\n";
  return 0;
}

CLI::Validator is_endpoint() {
  return CLI::Validator{[](std::string& text) {
                          return parse_endpoint(text)
                                     ? std::string{}
                                     : "'" + text + "' is no HOST:PORT, such as 127.0.0.1:7070";
                        },
                        "HOST:PORT"};
}

CLI::Validator is_duration() {
  return CLI::Validator{[](std::string& text) {
                          const auto parsed = parse_duration(text);
                          return parsed ? std::string{} : parsed.why().text();
                        },
                        "DURATION"};
}

} // namespace ropewalk
