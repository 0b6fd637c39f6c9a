#include "net/tls/certificate_dates.hpp"

#include "net/tls/certificate_use.hpp"

#include <array>
#include <chrono>
#include <ctime>
#include <openssl/x509.h>

namespace ropewalk {

namespace {

constexpr std::int64_t day = 24 * 60 * 60;

// Time to make a new one, to bring it to every machine, and for a holiday in between.
constexpr std::int64_t soon = 30 * day;

// What cannot be read is 1970: it is said to be over.
std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm date{};
  return time && ::ASN1_TIME_to_tm(time, &date) == 1 ? ::timegm(&date) : 0;
}

} // namespace

certificate_dates dates_of(const X509& certificate, std::string what) {
  return {std::move(what), common_name_of(certificate),
          seconds_of(::X509_get0_notBefore(&certificate)),
          seconds_of(::X509_get0_notAfter(&certificate))};
}

certificate_state state_of(const certificate_dates& dates, std::int64_t now) {
  if (now >= dates.until) return certificate_state::over;
  if (now < dates.from) return certificate_state::not_yet;
  return dates.until - now <= soon ? certificate_state::ends_soon : certificate_state::good;
}

std::string_view name_of(certificate_state state) {
  switch (state) {
  case certificate_state::not_yet:
    return "not valid yet";
  case certificate_state::ends_soon:
    return "ends soon";
  case certificate_state::over:
    return "over";
  case certificate_state::good:
    break;
  }
  return "good";
}

std::string utc_text(std::int64_t time) {
  const std::time_t seconds = time;
  std::tm date{};
  std::array<char, 64> text{};
  if (!::gmtime_r(&seconds, &date)) return "an unknown time";
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M UTC", &date)};
}

std::string warning_of(const certificate_dates& dates, std::int64_t now) {
  const auto days = (dates.until - now) / day;
  switch (state_of(dates, now)) {
  case certificate_state::good:
    break;
  case certificate_state::not_yet:
    return dates.what + " (" + dates.name + ") is not valid before " + utc_text(dates.from) +
           ", and refused until then; is this machine's clock right?";
  case certificate_state::ends_soon:
    return dates.what + " (" + dates.name + ") ends " +
           (days == 0   ? "today"
            : days == 1 ? "in a day"
                        : "in " + std::to_string(days) + " days") +
           ", on " + utc_text(dates.until) +
           ", and is refused from then on: make a new one (ropewalk certs), or renew it";
  case certificate_state::over:
    return dates.what + " (" + dates.name + ") was good until " + utc_text(dates.until) +
           ", and is refused: make a new one (ropewalk certs), or renew it";
  }
  return {};
}

std::int64_t seconds_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

} // namespace ropewalk
