#include "actors/settings/read_file.hpp"

#include "actors/settings/units.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <unistd.h>

namespace ropewalk {

namespace {

failure cannot_read(const std::string& name, int error) {
  return {failure_kind::unavailable, "cannot read " + name + " (" + std::strerror(error) + ")",
          error == EISDIR ? "name a file in it" : ""};
}

} // namespace

result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen(path.c_str(), "rbe"),
                                                             &std::fclose};
  if (!file) return cannot_read(path, errno);
  return read_descriptor(::fileno(file.get()), path, max_bytes);
}

result<std::string> read_descriptor(int from, const std::string& name, std::size_t max_bytes) {
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const auto count = ::read(from, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return cannot_read(name, errno);
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
