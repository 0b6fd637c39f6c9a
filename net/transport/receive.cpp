#include "net/transport/receive.hpp"

#include <algorithm>
#include <array>

namespace ropewalk {

stream::result receive_into(decoder& to, stream& from, char* buffer, std::size_t max) {
  const auto body = to.body_space();
  const std::array<iovec, 2> pieces{
      iovec{body.data(), body.size()},
      iovec{buffer, to.reads_one_by_one() ? limits::read_ahead_bytes : max}};
  const auto result = from.receive(body.empty() ? std::span{pieces}.subspan(1) : std::span{pieces});
  if (result.state != stream::state::ok) return result;
  const auto in_body = std::min(result.bytes, body.size());
  to.body_filled(in_body);
  to.feed({buffer, result.bytes - in_body});
  return result;
}

} // namespace ropewalk
