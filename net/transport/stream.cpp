#include "net/transport/stream.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <utility>

namespace ropewalk {

namespace {

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

class plain_stream final : public stream {
public:
  plain_stream(int fd, descriptor owned) : fd_(fd), owned_(std::move(owned)) {}

  result receive(std::span<const iovec> into) override {
    const auto count = receive_some(into);
    if (count > 0) return {state::ok, static_cast<std::size_t>(count)};
    if (count == 0) return {state::end, 0};
    return failure();
  }

  result send(std::span<const iovec> from) override {
    const auto count = send_some(from);
    if (count < 0) return failure();
    const auto sent = static_cast<std::size_t>(count);
    std::size_t offered = 0;
    for (const auto& part : from) offered += part.iov_len;
    return {sent < offered ? state::blocked : state::ok, sent};
  }

  void finish() override { ::shutdown(fd_, SHUT_WR); }
  std::string why() const override { return error_ == 0 ? std::string{} : std::strerror(error_); }
  int fd() const override { return fd_; }
  void disown() override { (void)owned_.release(); }

private:
  // The kernel has less to check about a single part.
  ssize_t receive_some(std::span<const iovec> into) const {
    if (into.size() == 1) return ::recv(fd_, into[0].iov_base, into[0].iov_len, MSG_DONTWAIT);
    auto message = message_of(into);
    return ::recvmsg(fd_, &message, MSG_DONTWAIT);
  }

  ssize_t send_some(std::span<const iovec> from) const {
    if (from.size() == 1)
      return ::send(fd_, from[0].iov_base, from[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    const auto message = message_of(from);
    return ::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  }

  static msghdr message_of(std::span<const iovec> pieces) {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = pieces.size();
    return message;
  }

  result failure() {
    if (would_block(errno)) return {state::blocked, 0};
    error_ = errno;
    return {state::failed, 0};
  }

  int fd_;
  descriptor owned_;
  int error_ = 0;
};

} // namespace

std::unique_ptr<stream> make_plain_stream(int fd) {
  return std::make_unique<plain_stream>(fd, descriptor{});
}

std::unique_ptr<stream> make_plain_stream(descriptor socket) {
  const int fd = socket.get();
  return std::make_unique<plain_stream>(fd, std::move(socket));
}

} // namespace ropewalk
