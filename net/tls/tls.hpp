#pragma once

#include "net/protocol/result.hpp"
#include "net/tls/certificate_dates.hpp"
#include "net/tls/certificate_use.hpp"
#include "net/transport/endpoint.hpp"
#include "net/transport/stream.hpp"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

/// TLS 1.2 and 1.3 by OpenSSL, for clients and between nodes.
namespace ropewalk {

/// PEM files. Which of them are needed, the functions below say.
struct tls_files {
  std::string certificate; ///< with the chain behind it
  std::string key;
  std::string authority; ///< the certificates that peers' must come from
};

/// What certificates must be for, besides that they are good: one's own, which is looked at when
/// the files are read, and the peer's, in the handshake. `nobody_asks` is for tests.
struct tls_roles {
  certificate_rule own;
  certificate_rule peer;
};
namespace roles {
inline constexpr certificate_rule brokers{certificate_use::broker};
inline constexpr certificate_rule workers{certificate_use::worker};
inline constexpr certificate_rule brokers_or_foreign{certificate_use::broker, true};
inline constexpr certificate_rule clients_or_foreign{certificate_use::client, true};

inline constexpr tls_roles broker_to_workers{brokers, workers};
inline constexpr tls_roles worker_to_broker{workers, brokers};
inline constexpr tls_roles broker_to_clients{brokers_or_foreign, clients_or_foreign};
inline constexpr tls_roles client_to_broker{clients_or_foreign, brokers_or_foreign};
inline constexpr tls_roles nobody_asks{};
} // namespace roles

/// What connections of one kind have in common. Immutable, and shared by them: a reload makes a new
/// one for the connections to come.
class tls_context {
public:
  ~tls_context();
  tls_context(const tls_context&) = delete;
  tls_context& operator=(const tls_context&) = delete;

  /// For who accepts: needs certificate and key. With `authority`, peers must show a certificate
  /// that comes from it, is made for clients, and is for what `who` says.
  static result<std::shared_ptr<const tls_context>> for_server(const tls_files& files,
                                                               const tls_roles& who);

  /// For who connects: needs `authority`, or takes the system's where it is empty; certificate and
  /// key are shown to servers that ask for them. The server's must be for what `who` says.
  static result<std::shared_ptr<const tls_context>> for_client(const tls_files& files,
                                                               const tls_roles& who);

  /// The server's side of a connection over `fd`, which stays the caller's. The handshake happens
  /// in the first calls of `receive`. A peer whose certificate will not do fails it; `why` of the
  /// stream then says what is wrong with it. Null if there is no memory for it.
  [[nodiscard]] std::unique_ptr<stream> accept(int fd) const;

  /// Of the certificates that it shows and trusts: one's own, those behind it in the file, and the
  /// authority's. (Not the system's, which has many.)
  [[nodiscard]] const std::vector<certificate_dates>& certificates() const { return certificates_; }

  /// The client's side; the peer's certificate must be made out to `host`.
  [[nodiscard]] std::unique_ptr<stream> connect(int fd, const std::string& host) const;

private:
  friend result<std::unique_ptr<stream>>
  connect_tls(const endpoint& where, const tls_context& context, std::chrono::milliseconds timeout);

  tls_context(void* context, const certificate_rule& peer) : context_(context), peer_(peer) {}
  static result<std::shared_ptr<const tls_context>> make(const tls_files& files,
                                                         const tls_roles& who, bool server);

  void* context_; // SSL_CTX: OpenSSL's headers stay out of everybody else's
  certificate_rule peer_;
  std::vector<certificate_dates> certificates_;
};

/// Connects, and shakes hands, all within `timeout`. Blocks. The failure says what the peer's
/// certificate lacks. In TLS 1.3 the handshake is over here before the peer has looked at our
/// certificate: that it refuses it is known when something is read.
result<std::unique_ptr<stream>> connect_tls(const endpoint& where, const tls_context& context,
                                            std::chrono::milliseconds timeout);

} // namespace ropewalk
