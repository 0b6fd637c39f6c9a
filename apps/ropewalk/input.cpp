#include "apps/ropewalk/input.hpp"

#include "actors/settings/units.hpp"
#include "net/transport/socket.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace ropewalk {

result<std::string> read_input(const std::string& path, std::size_t max_bytes) {
  const auto name = path.empty() ? std::string{"the message from stdin"} : path;
  const auto failed = [&] {
    std::string advice = errno == EISDIR ? "name a file in it" : "";
    if (path.empty()) advice = "say --data or --file, or redirect it";
    return failure{failure_kind::bad_input,
                   "cannot read " + name + " (" + std::strerror(errno) + ")", advice};
  };
  descriptor opened;
  if (!path.empty()) {
    opened = descriptor{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!opened.valid()) return failed();
  }
  const int from = path.empty() ? STDIN_FILENO : opened.get();
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const auto count = ::read(from, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return failed();
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(count));
    if (text.size() > max_bytes)
      return failure{failure_kind::bad_input,
                     name + " is over " + size_text(max_bytes) +
                         ", the most that may be read of it",
                     {}};
  }
}

} // namespace ropewalk
