#include "apps/ropewalk/commands.hpp"
#include "apps/ropewalk/options.hpp"
#include "apps/ropewalk/progress.hpp"
#include "net/tls/certificates.hpp"

#include <chrono>
#include <iostream>
#include <memory>

/// `ropewalk certs`: what a cluster and its clients show each other.
namespace ropewalk {

namespace {

struct certs_options {
  std::string folder = "certs";
  std::vector<std::string> hosts{"localhost", "127.0.0.1"};
  std::vector<std::string> clients;
  unsigned days = 825;
  bool keep = false;
};

int run_certs(const certs_options& o) {
  const auto valid = std::chrono::hours{24 * o.days};
  auto report = [](const failure& why) {
    std::cerr << "ropewalk certs: " << why.text() << '\n';
    return 1;
  };
  if (const auto made = certificate_authority::make(o.folder, std::max(valid, valid * 4)); !made)
    return report(made.why());
  progress shown{std::chrono::steady_clock::now()};
  std::size_t made = 0;
  auto issue = [&](const std::string& folder, const std::string& name, certificate_use use,
                   const std::vector<std::string>& hosts) {
    const auto into = o.folder + "/" + folder;
    const auto all = o.clients.size() + 2;
    if (const auto now = std::chrono::steady_clock::now(); shown.due(now))
      shown.show(std::to_string(made) + " of " + std::to_string(all) + " certificates",
                 static_cast<double>(made) / static_cast<double>(all), now);
    ++made;
    const auto print = [&shown](const auto&... words) {
      shown.hide();
      (std::cout << ... << words) << '\n';
    };
    if (o.keep) {
      using kind = certificate_authority::found::kind;
      const auto found = certificate_authority::inspect(o.folder, into, use);
      if (found.what == kind::good) return true;
      if (found.what == kind::useless) print(into, ": made anew, for ", found.why);
    }
    if (const auto issued = certificate_authority::issue(o.folder, into, name, use, hosts, valid);
        !issued) {
      shown.hide();
      report(issued.why());
      return false;
    }
    print(into, ": cert.pem, key.pem, ca.pem: a ", name_of(use), "'s (", name, ", ", o.days,
          " days)");
    return true;
  };
  if (!issue("broker", "broker", certificate_use::broker, o.hosts)) return 1;
  if (!issue("worker", "worker", certificate_use::worker, {})) return 1;
  for (const auto& name : o.clients)
    if (!issue("clients/" + name, name, certificate_use::client, {})) return 1;
  std::cout << "broker:  ropewalk broker --cluster HOST:7071 --cluster-tls " << o.folder
            << "/broker\nworkers: ropewalk worker --broker HOST:7071 --cluster-tls " << o.folder
            << "/worker\nKeep " << o.folder
            << "/ca-key.pem where nobody else can read it: who has it can make workers.\n";
  return 0;
}

} // namespace

command_action add_certs(CLI::App& app) {
  auto o = std::make_shared<certs_options>();
  app.footer("Run it again with --client NAME for more clients: the authority that is there is "
             "used. Without --keep the broker's and workers' certificates are made anew. Each "
             "certificate says what it is for, and is good for nothing else: a broker's for "
             "--cluster-tls and --tls-cert of `ropewalk broker`, a worker's for --cluster-tls of "
             "`ropewalk worker`, a client's for --tls-cert of `ropewalk send`, status and bench.");
  app.add_option("--dir", o->folder, "where they go")->capture_default_str();
  app.add_option("--host", o->hosts,
                 "a name or address by which workers and clients reach the broker")
      ->allow_extra_args(false)
      ->capture_default_str();
  app.add_option("--client", o->clients, "make a certificate for this client, too")
      ->allow_extra_args(false);
  app.add_option("--days", o->days, "how long they are good for")
      ->check(CLI::Range(0u, 36'500u))
      ->capture_default_str();
  app.add_flag(
      "--keep", o->keep,
      "leave certificates alone that are there and good; one that has expired, or does not "
      "say what it is for, is made anew");
  return [o] { return run_certs(*o); };
}

} // namespace ropewalk
