#pragma once

#include "net/tls/tls.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <string>
#include <vector>

namespace ropewalk {

/// A folder with certificates, made by `ropewalk certs`.
class certificates {
public:
  explicit certificates(const std::vector<std::string>& options = {}) { make(options); }

  void make(std::vector<std::string> options) const {
    std::vector<std::string> words{ROPEWALK_PROGRAM, "certs", "--dir", folder_.path()};
    words.insert(words.end(), options.begin(), options.end());
    process made{words, folder_.path() + "/certs.log"};
    INFO(made.log());
    REQUIRE(made.wait(10s) == 0);
  }

  [[nodiscard]] std::string operator/(const std::string& name) const {
    return folder_.path() + "/" + name;
  }
  [[nodiscard]] tls_files of(const std::string& who) const {
    return {*this / (who + "/cert.pem"), *this / (who + "/key.pem"), *this / "ca.pem"};
  }

private:
  temporary_folder folder_;
};

/// The options of a broker that speaks TLS with its clients.
inline std::vector<std::string> client_port_tls(const certificates& certs) {
  return {"--tls-cert", certs / "broker/cert.pem", "--tls-key", certs / "broker/key.pem"};
}

} // namespace ropewalk
