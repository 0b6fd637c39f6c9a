#pragma once

#include "tests/unit/access_file.hpp"

#include <string>
#include <string_view>

/// What clients over HTTP say, and who may.
namespace ropewalk {

inline std::string get(std::string_view path, std::string_view fields = {}) {
  return "GET " + std::string{path} + " HTTP/1.1\r\nHost: localhost\r\n" + std::string{fields} +
         "\r\n";
}

inline std::string post_to(std::string_view path, std::string_view body,
                           std::string_view fields = {}) {
  return "POST " + std::string{path} +
         " HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string{fields} + "\r\n" + std::string{body};
}

/// How many times it stands there.
inline int count(const std::string& text, std::string_view what) {
  int result = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++result;
  return result;
}

/// An access file with one line, whose token is "secret" (its SHA-256), for these services.
class secret_file : public access_file {
public:
  explicit secret_file(const std::string& services) : access_file(line_for(services)) {}

  /// From now on, for who reads it again.
  void allow(const std::string& services) const { write(line_for(services)); }

private:
  static std::string line_for(const std::string& services) {
    return "who sha256:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b " +
           services + '\n';
  }
};

inline const std::string with_token = "Authorization: Bearer secret\r\n";

} // namespace ropewalk
