#include "apps/ropewalk/http_port.hpp"

#include "apps/ropewalk/options.hpp"
#include "net/transport/socket.hpp"

#include <algorithm>

namespace ropewalk {

void add_http_port(CLI::App& app, http_port_options& into, const std::string& what) {
  app.add_option("--http", into.where, what)->check(is_endpoint());
  app.add_flag("--insecure-http", into.insecure,
               "allow HTTP beyond loopback although nobody has to say who it is");
}

void add_client_access(CLI::App& app, client_access_settings& into, const std::string& who_may) {
  auto* certificate = app.add_option("--tls-cert", into.certificate,
                                     "speak TLS with clients: the certificate to show them and its "
                                     "chain (a PEM file; read again on SIGHUP)");
  auto* key = app.add_option("--tls-key", into.key, "the certificate's key (a PEM file)");
  certificate->needs(key);
  key->needs(certificate);
  app.add_option("--client-ca", into.authority,
                 "let in only clients with a certificate that comes from this one (a PEM file)")
      ->needs(certificate);
  app.add_option("--access-file", into.access_file,
                 who_may + " (`ropewalk token`; read again on SIGHUP)");
}

result<http_port> open_http_port(const http_port_options& options,
                                 const client_access_settings& access,
                                 std::string_view they_could) {
  const auto where = *parse_endpoint(options.where);
  auto addresses = listening_addresses(where);
  if (!addresses) return std::move(addresses).why();
  http_port result{*std::move(addresses), {where.host, true}};
  result.guard.loopback_only = std::all_of(result.addresses.begin(), result.addresses.end(),
                                           [](const endpoint& one) { return is_loopback(one); });
  result.guard.anybody = access.access_file.empty();
  if (result.guard.loopback_only || options.insecure || !access.access_file.empty()) return result;
  return failure{failure_kind::bad_input,
                 "HTTP on " + options.where +
                     " could be reached from other machines, and whoever reaches it could " +
                     std::string{they_could} +
                     ". Say who may (--access-file, ropewalk token); or listen on 127.0.0.1; or, "
                     "on a network that only yours are in, say --insecure-http.",
                 {}};
}

} // namespace ropewalk
