#pragma once

#include <cerrno>
#include <system_error>

namespace ropewalk {

/// What the system `call` returned, a new descriptor; throws std::system_error where it is none.
inline int new_fd(int fd, const char* call) {
  if (fd < 0) throw std::system_error{errno, std::generic_category(), call};
  return fd;
}

} // namespace ropewalk
