#include "apps/ropewalk/options.hpp"

#include "actors/settings/read_file.hpp"
#include "actors/settings/setting_text.hpp"
#include "actors/settings/units.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <iostream>
#include <mutex>

namespace ropewalk {

namespace {

std::string help(const setting& which) {
  const auto text = [&](std::uint64_t value) { return value_text(which, value); };
  return std::string{which.reason()} + " (" + text(which.min()) + " to " + text(which.max()) +
         ", default " + text(which.default_value()) + "; a plain number is in " +
         std::string{which.unit()} + ")";
}

CLI::Validator is_value_of(const setting& which) {
  return CLI::Validator{[&which](std::string& text) {
                          const auto value = read_value(which, text);
                          return value ? std::string{} : value.why().text();
                        },
                        ""};
}

template <class Owner>
void add_settings_of(CLI::App& app, Owner& into) {
  for (const auto& s : all_settings) {
    if (!s.is_of<Owner>()) continue;
    app.add_option_function<std::string>(
           "--" + std::string{s.name()},
           [&s, &into](const std::string& text) { s.set(into, *read_value(s, text)); }, help(s))
        ->check(is_value_of(s))
        ->type_name(std::string{value_kind(s)})
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
  if (options.warns) {
    static std::once_flag said; // however many connections there are
    std::call_once(said, [&] {
      for (const auto& warning : warnings_of(std::array{context->get()}))
        std::cerr << "ropewalk: warning: " << warning << '\n';
    });
  }
  auto connected = connect_tls(where, **context, connect_timeout);
  if (!connected) return std::move(connected).why();
  return client{*std::move(connected)};
}

} // namespace

// The first line of the file, so that an editor's newline does no harm.
result<std::string> read_token(const std::string& path) {
  auto text = read_file(path, limits::max_text_file_bytes);
  if (!text) return text;
  auto token = text->substr(0, text->find('\n'));
  if (!token.empty() && token.back() == '\r') token.pop_back();
  if (token.empty())
    return failure{failure_kind::unavailable, "there is no token in " + path,
                   "its first line is what `ropewalk token` printed"};
  return token;
}

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

int report_check(const std::string& command, const std::vector<std::string>& problems,
                 const std::vector<std::string>& warnings) {
  for (const auto& warning : warnings)
    std::cerr << "ropewalk " << command << ": warning: " << warning << '\n';
  for (const auto& problem : problems)
    std::cerr << "ropewalk " << command << ": " << problem << '\n';
  if (!problems.empty()) return 2;
  std::cerr << "ropewalk " << command << ": everything is in order\n";
  return 0;
}

std::vector<std::string> warnings_of(std::span<const tls_context* const> contexts) {
  std::vector<std::string> result;
  for (const auto* context : contexts) {
    if (!context) continue;
    for (const auto& dates : context->certificates())
      if (auto warning = warning_of(dates, seconds_now());
          !warning.empty() && std::find(result.begin(), result.end(), warning) == result.end())
        result.push_back(std::move(warning));
  }
  return result;
}

CLI::Validator is_endpoint() {
  return CLI::Validator{[](std::string& text) {
                          return parse_endpoint(text)
                                     ? std::string{}
                                     : "'" + text + "' is no HOST:PORT, such as 127.0.0.1:7070";
                        },
                        "HOST:PORT"};
}

namespace {

template <auto Parse>
CLI::Validator parsed_by(const char* kind) {
  return CLI::Validator{[](std::string& text) {
                          const auto parsed = Parse(text);
                          return parsed ? std::string{} : parsed.why().text();
                        },
                        kind};
}

} // namespace

CLI::Validator is_wait() {
  return parsed_by<parse_wait>("TIME");
}

CLI::Validator is_size() {
  return parsed_by<parse_size>("SIZE");
}

} // namespace ropewalk
