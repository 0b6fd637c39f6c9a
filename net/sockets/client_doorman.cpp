#include "net/sockets/client_doorman.hpp"

#include "net/cluster/shared_loop.hpp"
#include "net/sockets/client_scribe.hpp"
#include "net/transport/socket.hpp"

#include <caf/make_counted.hpp>

namespace ropewalk {

client_doorman::client_doorman(shared_loop& loop, int fd, client_acceptor_settings settings)
    : doorman(caf::io::accept_handle::from_int(fd)), loop_(loop), settings_(std::move(settings)),
      acceptor_(loop, descriptor{fd},
                {acceptor::when_exhausted::pause,
                 [this](descriptor accepted, const sockaddr_storage& peer) {
                   let_in(std::move(accepted), peer);
                 },
                 [this] { settings_.on_descriptors_exhausted(); }}) {}

bool client_doorman::new_connection() {
  acceptor_.accept_waiting();
  return true;
}

void client_doorman::let_in(descriptor accepted, const sockaddr_storage& peer) {
  auto permit = settings_.admit(peer);
  if (!permit) return;
  auto connection = settings_.speak(accepted.get());
  if (!connection) return;
  (void)accepted.release(); // the scribe closes it
  auto scribe = caf::make_counted<client_scribe>(
      loop_, std::move(connection), settings_.max_message_bytes, settings_.hangups, settings_.bulk,
      std::move(permit),
      settings_.http ? std::make_unique<http_decoder>(settings_.max_message_bytes) : nullptr);
  const auto hdl = scribe->hdl();
  parent()->add_scribe(std::move(scribe));
  doorman::new_connection(&loop_, hdl);
}

void client_doorman::graceful_shutdown() {
  detach(&loop_, false);
}

std::string client_doorman::addr() const {
  return local_endpoint(acceptor_.fd()).host;
}

std::uint16_t client_doorman::port() const {
  return local_endpoint(acceptor_.fd()).port;
}

} // namespace ropewalk
