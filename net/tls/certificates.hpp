#pragma once

#include "net/protocol/result.hpp"
#include "net/tls/certificate_use.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

/// A certificate authority of one's own, for a cluster and its clients.
namespace ropewalk {

/// A folder with an authority: ca.pem, which everybody may see, and ca-key.pem, which should leave
/// this machine's disk for a safe place.
class certificate_authority {
public:
  /// Makes an authority in `folder` (ca.pem and ca-key.pem), if there is none; the folder is made
  /// if need be.
  static result<void> make(const std::string& folder, std::chrono::hours valid);

  /// Makes cert.pem, key.pem and a copy of ca.pem in `into`, a folder that is made if need be, with
  /// `name` as common name. The certificate says what it is for, which must not be `none`; only a
  /// broker's serves. `hosts`: names and addresses by which a broker is reached.
  static result<void> issue(const std::string& folder, const std::string& into,
                            const std::string& name, certificate_use use,
                            const std::vector<std::string>& hosts, std::chrono::hours valid);

  /// What there is in a folder where `issue` makes certificates.
  struct found {
    enum class kind : std::uint8_t { good, nothing, useless };
    kind what = kind::good;
    std::string why = {}; ///< it is useless, as half a sentence ("it has expired")
  };

  /// What `issue` has made in `into`. What comes from another's authority than that of some
  /// `ropewalk certs` is the other's affair, and counts as good.
  static found inspect(const std::string& folder, const std::string& into, certificate_use use);
};

} // namespace ropewalk
