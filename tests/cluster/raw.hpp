#pragma once

#include "net/protocol/frame.hpp"
#include "tests/cluster/processes.hpp"

#include <array>
#include <fstream>
#include <poll.h>
#include <sstream>
#include <sys/socket.h>

namespace ropewalk {

/// A plain socket, for saying what no client would.
class raw {
public:
  explicit raw(const endpoint& where) {
    auto connected = connect_tcp(where, 5s);
    if (!connected) throw std::runtime_error{connected.why().text()};
    fd_ = *std::move(connected);
  }

  // Sends all of it, unless the other side does not take it within `patience`.
  bool send(std::string_view bytes, std::chrono::milliseconds patience = 5s) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!bytes.empty() && std::chrono::steady_clock::now() < end) {
      const auto count = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count > 0) {
        bytes.remove_prefix(static_cast<std::size_t>(count));
        continue;
      }
      if (errno != EAGAIN) return false;
      pollfd waiting{fd_.get(), POLLOUT, 0};
      ::poll(&waiting, 1, 50);
    }
    return bytes.empty();
  }

  // What comes until `until` says that it is enough, or the connection closes.
  std::string receive(const std::function<bool(const std::string&)>& until,
                      std::chrono::milliseconds patience = 5s) {
    std::string result;
    const auto end = std::chrono::steady_clock::now() + patience;
    std::array<char, 65536> buffer;
    while (!until(result) && std::chrono::steady_clock::now() < end) {
      pollfd waiting{fd_.get(), POLLIN, 0};
      if (::poll(&waiting, 1, 50) <= 0) continue;
      const auto count = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) {
        closed = count == 0 || errno != EAGAIN;
        if (closed) break;
        continue;
      }
      result.append(buffer.data(), static_cast<std::size_t>(count));
    }
    return result;
  }

  std::string receive_line() {
    return receive([](const std::string& s) { return s.ends_with('\n'); });
  }

  /// Has the kernel keep as little as it may of what comes in.
  void receive_little() {
    const int bytes = 2048;
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }

  void finish() { ::shutdown(fd_.get(), SHUT_WR); }
  void reset() {
    const linger now{1, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd_.close();
  }
  bool closed = false;

private:
  descriptor fd_;
};

inline std::string frame(frame_kind kind, std::uint64_t id, std::string_view service,
                         std::string_view payload) {
  field_writer fields;
  if (!service.empty()) fields.text(field::service, service);
  std::vector<char> out;
  append_frame(out, kind, error_code::ok, id, fields.bytes(), payload);
  return {out.begin(), out.end()};
}

/// Resident memory of a process, in KiB.
inline std::uint64_t resident_kib(pid_t pid) {
  std::ifstream status{"/proc/" + std::to_string(pid) + "/status"};
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::stoull(line.substr(6));
  return 0;
}

/// User and system time of a process, in hundredths of a second.
inline std::uint64_t cpu_ticks(pid_t pid) {
  const auto text = file_text("/proc/" + std::to_string(pid) + "/stat");
  std::istringstream rest{text.substr(text.rfind(')') + 2)};
  std::string skipped;
  for (int i = 0; i < 11; ++i) rest >> skipped;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  rest >> user >> system;
  return user + system;
}

} // namespace ropewalk
