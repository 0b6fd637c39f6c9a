#include "net/sockets/client_scribe.hpp"

#include "net/protocol/limits.hpp"

#include <algorithm>
#include <array>
#include <caf/io/network/default_multiplexer.hpp>
#include <cerrno>
#include <sys/socket.h>
#include <sys/uio.h>

namespace ropewalk {

bool client_scribe::read_some() {
  const auto body = decoder_.body_space();
  char* const buffer = shared_read_buffer();
  const bool read_little = !body.empty() || decoder_.expects_large();
  std::array<iovec, 2> to{
      iovec{body.data(), body.size()},
      iovec{buffer, read_little ? limits::read_ahead_bytes : limits::read_bytes}};
  msghdr message{};
  message.msg_iov = body.empty() ? &to[1] : &to[0];
  message.msg_iovlen = body.empty() ? 1 : 2;
  const auto result = ::recvmsg(fd(), &message, MSG_DONTWAIT);
  if (result == 0) {
    input_ended_ = true;
    remove_from_loop();
    invoke_mailbox_element(&loop());
    return true;
  }
  if (result < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  if (discarding_) return true;
  const auto count = static_cast<std::size_t>(result);
  const auto in_body = std::min(count, body.size());
  decoder_.body_filled(in_body);
  decoder_.feed({buffer, count - in_body});
  msg().handle = hdl();
  invoke_mailbox_element(&loop());
  return true;
}

} // namespace ropewalk
