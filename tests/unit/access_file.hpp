#pragma once

#include "actors/broker/sessions/client_access.hpp"

#include <cstdio>
#include <fstream>
#include <string>
#include <unistd.h>

namespace ropewalk {

/// An access file with these lines, as long as it lives; one at a time.
class access_file {
public:
  explicit access_file(const std::string& lines)
      : path_("/tmp/ropewalk-access-" + std::to_string(::getpid())) {
    write(lines);
  }
  ~access_file() { std::remove(path_.c_str()); }
  access_file(const access_file&) = delete;
  access_file& operator=(const access_file&) = delete;

  void write(const std::string& lines) const { std::ofstream{path_} << lines; }

  [[nodiscard]] client_access_settings settings() const {
    client_access_settings result;
    result.access_file = path_;
    return result;
  }

private:
  std::string path_;
};

} // namespace ropewalk
