#include "net/tls/certificate_dates.hpp"
#include "net/tls/certificate_use.hpp"
#include "tests/catch.hpp"

#include <memory>
#include <openssl/x509.h>

using namespace ropewalk;

namespace {

struct free_certificate {
  void operator()(X509* certificate) const { ::X509_free(certificate); }
};
using certificate = std::unique_ptr<X509, free_certificate>;

void add(X509_NAME* to, const char* kind, const std::string& text, int encoding) {
  REQUIRE(::X509_NAME_add_entry_by_txt(to, kind, encoding,
                                       reinterpret_cast<const unsigned char*>(text.data()),
                                       static_cast<int>(text.size()), -1, 0) == 1);
}

certificate made_for(const std::vector<std::string>& units, const std::string& issuer,
                     int encoding = MBSTRING_UTF8) {
  certificate result{::X509_new()};
  auto* subject = ::X509_get_subject_name(result.get());
  add(subject, "CN", "somebody", encoding);
  for (const auto& unit : units) add(subject, "OU", unit, encoding);
  add(::X509_get_issuer_name(result.get()), "CN", issuer, encoding);
  return result;
}

} // namespace

TEST_CASE("a certificate is for what its organisational unit says, byte for byte") {
  auto use = [](const std::vector<std::string>& units, int encoding = MBSTRING_UTF8) {
    return use_of(*made_for(units, "Ropewalk cluster", encoding));
  };
  CHECK(use({"Ropewalk broker"}) == certificate_use::broker);
  CHECK(use({"Ropewalk worker"}) == certificate_use::worker);
  CHECK(use({"Ropewalk client"}) == certificate_use::client);
  CHECK(use({"Ropewalk worker"}, V_ASN1_PRINTABLESTRING) == certificate_use::worker);
  CHECK(use({"Operations", "Ropewalk worker"}) == certificate_use::worker);
  CHECK(use({"Ropewalk client", "Ropewalk worker"}) == certificate_use::client); // the first
  CHECK(use({}) == certificate_use::none);
  for (const std::string near :
       {"ropewalk worker", "Ropewalk worker ", "Ropewalk workers", "Ropewalk", "worker"})
    CHECK(use({near}) == certificate_use::none);
  CHECK(use({std::string{"Ropewalk worker\0x", 17}}) == certificate_use::none);
}

TEST_CASE("a rule takes the right role, and none only of an authority that knows no roles") {
  using verdict = certificate_rule::verdict;
  const certificate_rule workers{certificate_use::worker};
  const certificate_rule clients{certificate_use::client, true};
  for (const auto* issuer : {"Ropewalk cluster", "Somebody's own"}) {
    const auto worker = made_for({"Ropewalk worker"}, issuer);
    const auto client = made_for({"Ropewalk client"}, issuer);
    CHECK(workers.judge(*worker) == verdict::right);
    CHECK(workers.judge(*client) == verdict::other_use);
    CHECK(clients.judge(*client) == verdict::right);
    CHECK(clients.judge(*worker) == verdict::other_use);
    CHECK(certificate_rule{}.judge(*worker) == verdict::right);
  }
  const auto old = made_for({}, "Ropewalk cluster");
  CHECK(workers.judge(*old) == verdict::too_old);
  CHECK(clients.judge(*old) == verdict::too_old);
  const auto foreign = made_for({"Operations"}, "Somebody's own");
  CHECK(workers.judge(*foreign) == verdict::no_use);
  CHECK(clients.judge(*foreign) == verdict::right);
  CHECK(certificate_rule{}.judge(*old) == verdict::right);
}

TEST_CASE("a certificate's name is fit for a log") {
  certificate one{::X509_new()};
  CHECK(common_name_of(*one).empty());
  add(::X509_get_subject_name(one.get()), "CN", "two\nlines", MBSTRING_UTF8);
  CHECK(common_name_of(*one) == "two?lines");
}

TEST_CASE("a certificate that is not valid yet, is over, or ends within 30 days is said") {
  constexpr std::int64_t day = 86'400;
  const certificate_dates dates{"the certificate F", "me", 1'000 * day, 2'000 * day};
  const auto state = [&](std::int64_t now) { return name_of(state_of(dates, now)); };
  CHECK(state(1'000 * day - 1) == "not valid yet");
  CHECK(state(1'000 * day) == "good");
  CHECK(state(1'970 * day - 1) == "good");
  CHECK(state(1'970 * day) == "ends soon");
  CHECK(state(2'000 * day - 1) == "ends soon");
  CHECK(state(2'000 * day) == "over");
  CHECK(warning_of(dates, 1'500 * day).empty());
  CHECK(warning_of(dates, 0) == "the certificate F (me) is not valid before 1972-09-27 00:00 UTC, "
                                "and refused until then; is this machine's clock right?");
  CHECK(warning_of(dates, 1'990 * day)
            .starts_with("the certificate F (me) ends in 10 days, on "
                         "1975-06-24 00:00 UTC"));
  CHECK(warning_of(dates, 1'999 * day + 1).find("ends today") != std::string::npos);
  CHECK(warning_of(dates, 1'998 * day + 1).find("ends in a day") != std::string::npos);
  CHECK(warning_of(dates, 2'000 * day).find("was good until 1975-06-24") != std::string::npos);
}

TEST_CASE("a certificate's own dates are read, however they are encoded") {
  const auto one = made_for({}, "somebody");
  REQUIRE(::ASN1_TIME_set_string_X509(::X509_getm_notBefore(one.get()), "20240229235959Z") == 1);
  REQUIRE(::ASN1_TIME_set_string_X509(::X509_getm_notAfter(one.get()), "20990101000000Z") == 1);
  const auto dates = dates_of(*one, "it");
  CHECK(dates.name == "somebody");
  CHECK(utc_text(dates.from) == "2024-02-29 23:59 UTC");
  CHECK(utc_text(dates.until) == "2099-01-01 00:00 UTC"); // beyond what two digits can say
}
