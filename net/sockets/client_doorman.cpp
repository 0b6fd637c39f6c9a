#include "net/sockets/client_doorman.hpp"

#include "net/sockets/client_scribe.hpp"

#include <caf/io/network/default_multiplexer.hpp>
#include <caf/make_counted.hpp>

namespace ropewalk {

bool client_doorman::new_connection() {
  if (detached()) return false;
  auto& loop = acceptor_.backend();
  auto scribe =
      caf::make_counted<client_scribe>(loop, acceptor_.accepted_socket(), max_message_bytes_);
  const auto hdl = scribe->hdl();
  parent()->add_scribe(std::move(scribe));
  return doorman::new_connection(&loop, hdl);
}

} // namespace ropewalk
