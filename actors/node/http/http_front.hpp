#pragma once

#include "actors/admin/http_guard.hpp"
#include "actors/broker/client_acceptors.hpp"
#include "actors/broker/sessions/client_sessions.hpp"
#include "actors/dispatch/dispatcher.hpp"
#include "actors/messages.hpp"

#include <caf/io/broker.hpp>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ropewalk {

/// How many connections there may be at a time where the process may have so many descriptors: who
/// scrapes, who probes, and somebody with curl are 100 at most, and a sixteenth of the descriptors,
/// which slots are not to count on (slot_budget.hpp).
std::uint64_t http_connections(std::uint64_t descriptors);

/// What `ropewalk worker` was told of HTTP, and what it says of itself there.
struct http_front_settings {
  std::vector<endpoint> listen;
  http_guard guard;
  client_access_settings access;
  std::uint64_t connections = 100;                ///< http_connections
  std::string node;                               ///< its name
  std::string broker;                             ///< its cluster port, for people
  std::shared_ptr<const tls_context> cluster_tls; ///< with the broker; null: plainly
  /// Under a master: the process that this one replaces may have the port until it has drained.
  /// This one works meanwhile, and listens when it is free.
  bool waits_for_port = false;
};

/// A worker's HTTP port: /healthz, /readyz, /status and /metrics. On the node's event loop, which
/// the gateway and the pools of processes share with it, and where no handler runs: so it answers
/// whatever the handlers do. It knows nothing of messages; the gateways of the process' nodes (more
/// than one while a reload replaces one by another) say what there is when somebody asks.
///
/// Clients are the broker's sessions as they are, with their guard, limits, times and rights. What
/// these ask of a dispatcher is to keep the books of connections: it has one for that, without a
/// node or a service, and no route leads to it.
class http_front final : public caf::io::broker {
public:
  http_front(caf::actor_config& config, http_front_settings settings);

  const char* name() const override { return "http_front"; }
  void on_exit() override;

protected:
  caf::behavior make_behavior() override;

private:
  struct watched_node { // of this process
    caf::actor gateway;
    std::vector<offered_service> services;
  };

  // What all programs of the process have taken, as it was read last: that takes milliseconds, and
  // is done in a thread of its own.
  struct programs {
    double cpu_seconds = 0;
    std::uint64_t memory = 0;
    instant read_at{};
  };

  // Numbers on their way, and why the nodes are not ready that have answered.
  struct round {
    worker_report sum;
    std::string not_ready;
    bool ready = false;
    std::size_t outstanding = 1;
  };

  void listen();
  result<void> open();
  void went_down(const caf::down_msg& down);
  void connected(caf::io::connection_handle which);
  void reload();
  void carry_out();
  void expect_turn_end();
  void end_turn();
  void tick();
  void sweep();
  void begin_round();
  void add(round& to, const watched_node& from, worker_report&& said) const;
  void end_round(round& what);
  void read_programs(const std::shared_ptr<round>& for_whom);

  const http_front_settings settings_;
  const broker_tuning limits_;
  const instant started_;
  dispatcher books_; // of connections, and nothing else
  client_sessions clients_;
  client_acceptors acceptors_;
  std::unordered_map<caf::io::connection_handle, connection_id> ids_;
  std::vector<watched_node> nodes_;
  caf::actor programs_reader_;
  programs programs_;
  bool expects_turn_end_ = false;
  bool expects_tick_ = false;
  bool expects_sweep_ = false;
  bool draining_ = false;
};

} // namespace ropewalk
