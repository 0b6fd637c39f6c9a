#include "net/tcp/receive.hpp"

#include "net/protocol/limits.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <sys/uio.h>

namespace ropewalk {

received receive_into(decoder& to, int fd, char* buffer) {
  const auto body = to.body_space();
  const bool read_little = !body.empty() || to.expects_large();
  std::array<iovec, 2> parts{
      iovec{body.data(), body.size()},
      iovec{buffer, read_little ? limits::read_ahead_bytes : limits::read_bytes}};
  msghdr message{};
  message.msg_iov = body.empty() ? &parts[1] : &parts[0];
  message.msg_iovlen = body.empty() ? 1 : 2;
  const auto result = ::recvmsg(fd, &message, MSG_DONTWAIT);
  if (result == 0) return received::end;
  if (result < 0)
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? received::nothing
                                                                     : received::failure;
  const auto count = static_cast<std::size_t>(result);
  const auto in_body = std::min(count, body.size());
  to.body_filled(in_body);
  to.feed({buffer, count - in_body});
  return received::bytes;
}

} // namespace ropewalk
