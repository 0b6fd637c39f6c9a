#pragma once

#include "net/cluster/compact_form.hpp"
#include "net/tls/reloadable_tls.hpp"
#include "net/tls/tls.hpp"

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace ropewalk {

/// How nodes are let in.
struct basp_transport_settings {
  std::shared_ptr<const reloadable_tls> server; ///< null: plain TCP
  std::shared_ptr<const tls_context> client;    ///< null: plain TCP
  /// Whether nodes on the broker's machine take a Unix socket (local_socket.hpp) where there is one
  /// and no TLS is asked for.
  bool local = true;
  /// Nobody but processes of this user, and root's, on this machine: by that Unix socket, whose
  /// kernel says whose the peer is, and not by TCP. Not with TLS.
  bool own_user = false;
  compact_forms forms;                          ///< of messages that are sent very often
  std::chrono::milliseconds hello_time{10'000}; ///< within which who connects shakes hands
  /// Hears who was refused and why; called on the loop's thread.
  std::function<void(const std::string&)> when_refused;
  /// Hears of the socket of every connection that was made (not of those that were let in), before
  /// it is used; called on the door's thread. It may keep a duplicate: the connection is shut down
  /// before its socket is closed.
  std::function<void(int fd)> when_connected;
};

/// CAF's own middleman actor, with basp_scribe under every connection between nodes, TLS if told
/// so, a connect that gives up after three seconds, and a way past TCP within a machine. Takes the
/// same messages: (publish_atom,
/// ...), (connect_atom, host, port), ...
caf::actor spawn_basp_transport(caf::actor_system& system, basp_transport_settings settings = {});

} // namespace ropewalk
