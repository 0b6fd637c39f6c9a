#pragma once

#include "actors/node/http/http_front.hpp"
#include "actors/node/node.hpp"
#include "apps/ropewalk/http_port.hpp"

#include <caf/all.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ropewalk {

/// The HTTP port of a worker, as it was told of it; nothing: it has none.
struct worker_http {
  http_port_options port;
  client_access_settings access;
  http_port opened; ///< of this process, once find_http_problems has found none
};

void add_worker_http(CLI::App& app, worker_http& into);

/// Appends all that is wrong with it, for so many processes.
void find_http_problems(worker_http& of, std::uint32_t processes,
                        std::vector<std::string>& problems);

/// Ends the process, with a sentence in the log, if somebody else has the port, or the port of one
/// of the processes. To be called before anything is started.
void claim_ports(const worker_http& of, std::uint32_t processes);

/// The options of the process in this place under a master. Each has a port of its own, counted from
/// the one that was said, as shards have at the cluster port.
std::vector<std::string> arguments_for(const worker_http& of, std::uint32_t place);

/// Null: there is none. `tls`: what the node speaks with to its broker.
caf::actor start_http(caf::actor_system& system, const worker_http& of, const node_settings& node,
                      std::shared_ptr<const tls_context> tls);

/// Has `http`, unless it is null, ask the node's gateway from now on.
void watch_gateway(node_dependencies& of, const node_settings& settings, const caf::actor& http);

} // namespace ropewalk
