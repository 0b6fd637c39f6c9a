#pragma once

#include "net/tcp/endpoint.hpp"
#include "net/tcp/stream.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <variant>

/// TLS 1.2 and 1.3 by OpenSSL, for clients and between nodes.
namespace ropewalk {

/// PEM files. Which of them are needed, the functions below say.
struct tls_files {
  std::string certificate; ///< with the chain behind it
  std::string key;
  std::string authority; ///< the certificates that peers' must come from
};

/// What is wrong with a file, or a connection, and what to do.
struct tls_error {
  std::string what;
};

/// What connections of one kind have in common. Immutable, and shared by them: a reload makes a new
/// one for the connections to come.
class tls_context {
public:
  ~tls_context();
  tls_context(const tls_context&) = delete;
  tls_context& operator=(const tls_context&) = delete;

  using result = std::variant<std::shared_ptr<const tls_context>, tls_error>;

  /// For who accepts: needs certificate and key. With `authority`, peers must show a certificate
  /// that comes from it and is made for clients.
  static result for_server(const tls_files& files);

  /// For who connects: needs `authority`, or takes the system's where it is empty; certificate and
  /// key are shown to servers that ask for them.
  static result for_client(const tls_files& files);

  /// The server's side of a connection over `fd`, which stays the caller's. The handshake happens
  /// in the first calls of `receive`. Null if there is no memory for it.
  [[nodiscard]] std::unique_ptr<stream> accept(int fd) const;

  /// The client's side; the peer's certificate must be made out to `host`.
  [[nodiscard]] std::unique_ptr<stream> connect(int fd, const std::string& host) const;

private:
  friend std::variant<std::unique_ptr<stream>, socket_error>
  connect_tls(const endpoint& where, const tls_context& context,
              std::chrono::milliseconds patience);

  explicit tls_context(void* context) : context_(context) {}
  static result make(const tls_files& files, bool server);

  void* context_; // SSL_CTX: OpenSSL's headers stay out of everybody else's
};

using stream_result = std::variant<std::unique_ptr<stream>, socket_error>;

/// Connects, and shakes hands, all within `patience`. Blocks. The error says what the peer's
/// certificate lacks.
stream_result connect_tls(const endpoint& where, const tls_context& context,
                          std::chrono::milliseconds patience);

} // namespace ropewalk
