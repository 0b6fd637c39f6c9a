#pragma once

#include "actors/broker/sessions/client_sessions.hpp"
#include "actors/broker/sessions/connection_limiter.hpp"
#include "net/sockets/client_doorman.hpp"
#include "net/sockets/hangup_watch.hpp"
#include "net/transport/endpoint.hpp"

#include <caf/io/broker.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ropewalk {

/// Where clients come in: the listening sockets of a front. Where there is no descriptor for
/// another client they pause, so that those who are there go on.
class client_acceptors {
public:
  struct settings {
    std::vector<endpoint> listen;
    std::vector<endpoint> http; ///< where HTTP is spoken
    bool shared_ports = false;  ///< with the other shards
    std::size_t max_message_bytes = 0;
  };

  client_acceptors(caf::io::broker& owner, client_sessions& clients,
                   std::shared_ptr<connection_limiter> census)
      : owner_(owner), clients_(clients), census_(std::move(census)) {}

  /// Opens them. `on_pause` is called when accepting pauses: `resume` is to be called every now and
  /// then from then on.
  result<void> open(const settings& s, const std::function<void()>& on_pause);
  void close();

  /// Gives up the ports, for the next broker: who has come is let in, and nobody else. Not to be
  /// called from within a handler of the owner.
  void stop_listening();

  /// Where they listen; behind the others those that speak HTTP.
  [[nodiscard]] const std::vector<std::string>& addresses() const { return addresses_; }

  /// Tries to accept again those that wait, if it has been long enough.
  void resume(instant now);
  [[nodiscard]] bool paused() const { return !paused_.empty(); }

private:
  result<void> open_one(const endpoint& address, bool http, const settings& s,
                        const std::function<void()>& on_pause);
  [[nodiscard]] std::shared_ptr<void> admit(const sockaddr_storage& peer);
  void out_of_descriptors(caf::io::accept_handle which);

  caf::io::broker& owner_;
  client_sessions& clients_;
  const std::shared_ptr<connection_limiter> census_;
  std::shared_ptr<hangup_watch> hangups_;
  std::shared_ptr<poll_set> bulk_;
  std::vector<std::string> addresses_;
  std::vector<caf::intrusive_ptr<client_doorman>> doormen_;
  std::vector<caf::io::accept_handle> paused_;
  instant last_paused_{};
};

} // namespace ropewalk
