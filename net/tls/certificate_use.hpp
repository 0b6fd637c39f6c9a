#pragma once

#include "net/protocol/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

struct x509_st; // OpenSSL's X509: its headers stay out of everybody else's

/// What a certificate is for, as it says itself. The authority of a cluster vouches for brokers,
/// workers and clients alike: that a certificate comes from it says who may be talked to, and this
/// says as what. It stands in the subject, as an organisational unit (OU).
namespace ropewalk {

/// `none`: the certificate does not say, as those of other authorities, and those that `ropewalk
/// certs` made before certificates had a role.
enum class certificate_use : std::uint8_t { none, broker, worker, client };

/// "Ropewalk worker", as it stands in the certificate; empty for `none`.
std::string_view unit_of(certificate_use use);

/// "worker", for sentences; "nobody" for `none`.
std::string_view name_of(certificate_use use);

/// The common name of the authority that `ropewalk certs` makes.
inline constexpr std::string_view authority_name = "Ropewalk cluster";

/// What the certificate says that it is for: the first of its organisational units that is one of
/// unit_of, byte for byte.
certificate_use use_of(const x509_st& certificate);

/// Whether it comes from an authority of `ropewalk certs`, by its issuer's name.
bool is_from_certs(const x509_st& certificate);

/// Its common name, fit for a log: of at most 128 bytes, and without control characters.
std::string common_name_of(const x509_st& certificate);

/// What a certificate must be for.
struct certificate_rule {
  certificate_use use = certificate_use::none; ///< `none`: nothing is asked
  /// Whether one without a role will do if it comes from somebody's own authority, which knows
  /// nothing of roles. One of `ropewalk certs` must have it, and none may have another.
  bool foreign_too = false;

  enum class verdict : std::uint8_t {
    right,
    other_use, ///< it is for something else
    no_use,    ///< it must say what it is for, and does not
    too_old,   ///< the same, and an older `ropewalk certs` made it
  };

  [[nodiscard]] verdict judge(const x509_st& certificate) const;

  /// The same with a sentence that says what to do. Of the certificate that a peer has shown, and
  /// of one's own, which is in `file`.
  [[nodiscard]] result<void> check_peer(const x509_st& certificate) const;
  [[nodiscard]] result<void> check_own(const std::string& file, const x509_st& certificate) const;
};

} // namespace ropewalk
