#include "net/sockets/client_scribe.hpp"

#include "net/tcp/receive.hpp"

#include <caf/io/network/default_multiplexer.hpp>
#include <cerrno>
#include <sys/socket.h>

namespace ropewalk {

bool client_scribe::read_some() {
  switch (discarding_ ? discard() : receive_into(decoder_, fd(), shared_read_buffer())) {
  case received::failure:
    return false;
  case received::nothing:
    return true;
  case received::end:
    input_ended_ = true;
    remove_from_loop();
    break;
  case received::bytes:
    if (discarding_) return true;
    break;
  }
  msg().handle = hdl();
  invoke_mailbox_element(&loop());
  return true;
}

received client_scribe::discard() {
  const auto count = ::recv(fd(), shared_read_buffer(), limits::read_bytes, MSG_DONTWAIT);
  if (count == 0) return received::end;
  if (count > 0) return received::bytes;
  return errno == EAGAIN || errno == EINTR ? received::nothing : received::failure;
}

} // namespace ropewalk
