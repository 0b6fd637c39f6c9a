#include "net/transport/descriptor_passing.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace ropewalk {

namespace {

struct beside {
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * max_passed_descriptors)> room{};
};

} // namespace

int send_packet(int socket, std::string_view bytes, std::span<const int> descriptors) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  beside control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    const auto size = sizeof(int) * std::min(descriptors.size(), max_passed_descriptors);
    message.msg_control = control.room.data();
    message.msg_controllen = CMSG_SPACE(size);
    auto* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(head), descriptors.data(), size);
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    if (errno != EINTR) return errno;
  return 0;
}

packet take_packet(int socket, std::span<char> into) {
  iovec part{into.data(), into.size()};
  beside control;
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.room.data();
  // Without what the room has beyond so many, for the sake of alignment: a descriptor in there
  // would be nobody's.
  message.msg_controllen = CMSG_LEN(sizeof(int) * max_passed_descriptors);
  ssize_t count = 0;
  while ((count = ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) < 0 &&
         errno == EINTR) {
  }
  packet result;
  if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return result;
  // No packet of ours is empty: an empty one is the end.
  result.state = count <= 0 ? packet::state::over : packet::state::taken;
  result.bytes = count < 0 ? 0 : static_cast<std::size_t>(count);
  for (auto* head = count < 0 ? nullptr : CMSG_FIRSTHDR(&message); head;
       head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const auto there = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < there; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(head) + i * sizeof fd, sizeof fd);
      descriptor one{fd};
      if (result.passed < max_passed_descriptors)
        result.descriptors[result.passed++] = std::move(one);
    }
  }
  return result;
}

} // namespace ropewalk
