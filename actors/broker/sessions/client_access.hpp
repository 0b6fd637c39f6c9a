#pragma once

#include "actors/broker/sessions/access_list.hpp"
#include "net/protocol/result.hpp"
#include "net/tls/tls.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <sys/socket.h>

namespace ropewalk {

/// How clients are let in, as `ropewalk broker` was told.
struct client_access_settings {
  std::string certificate; ///< PEM files; empty: plain TCP
  std::string key;
  std::string authority; ///< clients must show a certificate that comes from it; empty: none
  std::string
      access_file; ///< who may ask for what; empty: everybody (with a certificate, if asked)
};

/// Stands at the client port: speaks TLS with whom it must, and knows who may ask for what. What
/// the files say can be read again at any time; it holds for whoever comes from then on, and
/// `access` of those who are in is looked up anew.
class client_access {
public:
  explicit client_access(client_access_settings settings);

  /// Reads the files. After a failure everything is as it was.
  result<void> load();

  /// How an address is counted: an IPv4 address, or the half of an IPv6 address that one customer
  /// has.
  static std::string address_of(const sockaddr_storage& peer);

  /// How bytes go over a new connection.
  [[nodiscard]] std::unique_ptr<stream> speak(int fd) const;

  /// Null where clients speak plainly.
  [[nodiscard]] const tls_context* tls() const { return context_.get(); }

  /// True if a client must say who it is.
  [[nodiscard]] bool asks_who() const { return list_ != nullptr; }
  [[nodiscard]] std::shared_ptr<const access_list> list() const { return list_; }

private:
  client_access_settings settings_;
  std::shared_ptr<const tls_context> context_;
  std::shared_ptr<const access_list> list_;
};

} // namespace ropewalk
