#include "apps/ropewalk/worker_http.hpp"

#include "apps/ropewalk/process.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/transport/socket.hpp"

#include <spdlog/spdlog.h>
#include <utility>

namespace ropewalk {

namespace {

endpoint port_of_process(const worker_http& of, std::uint32_t place) {
  auto where = *parse_endpoint(of.port.where);
  if (where.port != 0) where.port = static_cast<std::uint16_t>(where.port + place);
  return where;
}

} // namespace

void add_worker_http(CLI::App& app, worker_http& into) {
  add_http_port(app, into.port,
                "speak HTTP here: /metrics, /status, /healthz and /readyz of this worker; with "
                "--processes, the first of so many ports, one for each");
  add_client_access(app, into.access,
                    "show numbers by HTTP only to who has @status or * in this file");
}

void find_http_problems(worker_http& of, std::uint32_t processes,
                        std::vector<std::string>& problems) {
  const auto& access = of.access;
  if (of.port.where.empty()) {
    if (of.port.insecure || !access.certificate.empty() || !access.access_file.empty())
      problems.emplace_back(
          "--insecure-http, --tls-cert and --access-file are for the HTTP port: say --http, too");
    return;
  }
  auto opened = open_http_port(of.port, access, "see all numbers");
  if (!opened) return problems.push_back(opened.why().text());
  of.opened = *std::move(opened);
  const auto first = parse_endpoint(of.port.where)->port;
  if (first != 0 && first + processes - 1 > 65535)
    problems.push_back(std::to_string(processes) + " processes take as many HTTP ports, from " +
                       std::to_string(first) +
                       " on, and there are none beyond 65535: choose a lower one");
  if (const auto loaded = client_access{access}.load(); !loaded)
    problems.push_back(loaded.why().text());
}

void claim_ports(const worker_http& of, std::uint32_t processes) {
  if (of.port.where.empty()) return;
  for (std::uint32_t place = 0; place < processes; ++place) {
    const auto addresses = listening_addresses(port_of_process(of, place));
    for (std::size_t i = 0; addresses && i < addresses->size(); ++i)
      if (const auto held = reserve_port((*addresses)[i]); !held) {
        spdlog::error("cannot start: {}", held.why().text());
        leave_process(1);
      }
  }
}

std::vector<std::string> arguments_for(const worker_http& of, std::uint32_t place) {
  if (of.port.where.empty()) return {};
  std::vector<std::string> words{"--http", port_of_process(of, place).text()};
  if (of.port.insecure) words.emplace_back("--insecure-http");
  const auto& access = of.access;
  for (const auto& [option, value] :
       {std::pair{"--tls-cert", access.certificate}, std::pair{"--tls-key", access.key},
        std::pair{"--client-ca", access.authority}, std::pair{"--access-file", access.access_file}})
    if (!value.empty()) words.insert(words.end(), {option, value});
  return words;
}

caf::actor start_http(caf::actor_system& system, const worker_http& of, const node_settings& node,
                      std::shared_ptr<const tls_context> tls) {
  if (of.port.where.empty()) return nullptr;
  http_front_settings settings;
  settings.listen = of.opened.addresses;
  settings.guard = of.opened.guard;
  settings.access = of.access;
  settings.connections = http_connections(descriptor_limit());
  settings.node = node.name;
  settings.broker = node.broker.text();
  settings.cluster_tls = std::move(tls);
  settings.waits_for_port = node.master_fd >= 0;
  caf::actor_config config{&shared_loop::of(system)};
  return system.spawn_class<http_front, caf::no_spawn_options>(config, std::move(settings));
}

void watch_gateway(node_dependencies& of, const node_settings& settings, const caf::actor& http) {
  if (!http) return;
  std::vector<offered_service> services;
  for (const auto& one : settings.services)
    services.push_back({one.name, settings.slots_of(one), one.options.min_slots});
  of.start_gateway = [start = std::move(of.start_gateway), services = std::move(services),
                      http](caf::event_based_actor* node, const run_queues& queues) {
    auto gateway = start(node, queues);
    node->send(http, attach_atom_v, gateway, services);
    return gateway;
  };
}

} // namespace ropewalk
