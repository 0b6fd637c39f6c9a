#pragma once

#include <cstdint>
#include <openssl/types.h>
#include <string>
#include <string_view>

/// From when until when a certificate is good, and what is to be said of that. Times are seconds
/// since 1970, UTC, of the clock that people set: that is what certificates are about.
namespace ropewalk {

struct certificate_dates {
  std::string what; ///< for people: "the certificate certs/broker/cert.pem"
  std::string name; ///< whose it is (its common name)
  std::int64_t from = 0;
  std::int64_t until = 0;
};

certificate_dates dates_of(const X509& certificate, std::string what);

enum class certificate_state : std::uint8_t { good, not_yet, ends_soon, over };

/// `ends_soon`: within 30 days.
certificate_state state_of(const certificate_dates& dates, std::int64_t now);
std::string_view name_of(certificate_state state);

/// A sentence with what to do, for a log; empty where it is good.
std::string warning_of(const certificate_dates& dates, std::int64_t now);

/// `2026-11-26 03:00 UTC`.
std::string utc_text(std::int64_t time);

/// By this machine's clock.
std::int64_t seconds_now();

} // namespace ropewalk
