#include "net/tls/certificates.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <utility>

namespace ropewalk {

namespace fs = std::filesystem;

namespace {

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* what) const {
    Free(what);
  }
};
using key_pointer = std::unique_ptr<EVP_PKEY, freed_by<::EVP_PKEY_free>>;
using certificate_pointer = std::unique_ptr<X509, freed_by<::X509_free>>;
using file_pointer = std::unique_ptr<std::FILE, freed_by<std::fclose>>;

failure cannot(const std::string& doing) {
  const char* text = ::ERR_reason_error_string(::ERR_peek_last_error());
  ::ERR_clear_error();
  return {failure_kind::unavailable,
          "cannot " + doing + ": " + (text ? text : std::strerror(errno)),
          {}};
}

result<void> make_folder(const std::string& path) {
  std::error_code failed;
  // Whatever the umask is, who made it goes on to use it.
  if (fs::create_directories(path, failed))
    fs::permissions(path, fs::perms::owner_all, fs::perm_options::add, failed);
  if (failed)
    return failure{
        failure_kind::unavailable, "cannot make the folder " + path + ": " + failed.message(), {}};
  return {};
}

file_pointer open_file(const fs::path& path, const char* mode, int permissions) {
  if (*mode == 'r') return file_pointer{std::fopen(path.c_str(), mode)};
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, permissions);
  if (fd >= 0) ::fchmod(fd, permissions); // a file that was there keeps its own
  return file_pointer{fd < 0 ? nullptr : ::fdopen(fd, mode)};
}

bool write_key(const fs::path& path, EVP_PKEY* key) {
  const auto file = open_file(path, "w", 0600);
  return file &&
         ::PEM_write_PrivateKey(file.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1 &&
         std::fflush(file.get()) == 0; // a full disk says so here
}

bool write_certificate(const fs::path& path, X509* certificate) {
  const auto file = open_file(path, "w", 0644);
  return file && ::PEM_write_X509(file.get(), certificate) == 1 && std::fflush(file.get()) == 0;
}

bool add_extension(X509* to, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context;
  ::X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  auto* extension = ::X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  if (!extension) return false;
  const bool added = ::X509_add_ext(to, extension, -1) == 1;
  ::X509_EXTENSION_free(extension);
  return added;
}

void name_it(X509* certificate, const char* kind, std::string_view text) {
  ::X509_NAME_add_entry_by_txt(::X509_get_subject_name(certificate), kind, MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(text.data()),
                               static_cast<int>(text.size()), -1, 0);
}

certificate_pointer read_certificate(const fs::path& path) {
  const auto file = open_file(path, "r", 0);
  return certificate_pointer{file ? ::PEM_read_X509(file.get(), nullptr, nullptr, nullptr)
                                  : nullptr};
}

key_pointer read_key(const fs::path& path) {
  const auto file = open_file(path, "r", 0);
  return key_pointer{file ? ::PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr) : nullptr};
}

// A certificate for `key`, not yet signed.
certificate_pointer blank(EVP_PKEY* key, std::string_view name, std::chrono::hours valid) {
  certificate_pointer result{::X509_new()};
  if (!result) return nullptr;
  std::array<unsigned char, 16> serial{};
  ::RAND_bytes(serial.data(), serial.size());
  serial[0] &= 0x7f;
  auto* number = ::BN_bin2bn(serial.data(), serial.size(), nullptr);
  ::BN_to_ASN1_INTEGER(number, ::X509_get_serialNumber(result.get()));
  ::BN_free(number);
  ::X509_set_version(result.get(), 2);
  constexpr long clocks_differ_s = -300;
  ::X509_gmtime_adj(::X509_getm_notBefore(result.get()),
                    std::min<long>(clocks_differ_s, valid.count() * 3600 - 1));
  ::X509_time_adj_ex(::X509_getm_notAfter(result.get()), 0, valid.count() * 3600, nullptr);
  ::X509_set_pubkey(result.get(), key);
  name_it(result.get(), "CN", name);
  return result;
}

std::string names_of(const std::vector<std::string>& hosts) {
  std::string result;
  for (const auto& host : hosts) {
    std::array<unsigned char, 16> address{};
    const bool is_address = ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
                            ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
    if (!result.empty()) result += ',';
    result += is_address ? "IP:" : "DNS:";
    result += host;
  }
  return result;
}

} // namespace

result<void> certificate_authority::make(const std::string& folder, std::chrono::hours valid) {
  if (auto there = make_folder(folder); !there) return there;
  const fs::path at{folder};
  if (fs::exists(at / "ca.pem") && fs::exists(at / "ca-key.pem")) return {};
  const key_pointer key{::EVP_EC_gen("P-256")};
  if (!key) return cannot("make a key");
  const auto certificate = blank(key.get(), authority_name, valid);
  auto* c = certificate.get();
  if (!c || ::X509_set_issuer_name(c, ::X509_get_subject_name(c)) != 1 ||
      !add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(c, c, NID_subject_key_identifier, "hash") ||
      ::X509_sign(c, key.get(), ::EVP_sha256()) == 0)
    return cannot("make a certificate authority");
  if (!write_key(at / "ca-key.pem", key.get()) || !write_certificate(at / "ca.pem", c))
    return cannot("write to " + folder);
  return {};
}

result<void> certificate_authority::issue(const std::string& folder, const std::string& into,
                                          const std::string& name, certificate_use use,
                                          const std::vector<std::string>& hosts,
                                          std::chrono::hours valid) {
  const fs::path at{folder};
  const fs::path to{into};
  const auto authority = read_certificate(at / "ca.pem");
  const auto authority_key = read_key(at / "ca-key.pem");
  if (!authority || !authority_key) return cannot("read the authority in " + folder);

  const key_pointer key{::EVP_EC_gen("P-256")};
  const auto certificate = key ? blank(key.get(), name, valid) : nullptr;
  auto* c = certificate.get();
  if (c) name_it(c, "OU", unit_of(use));
  const char* uses = use == certificate_use::broker ? "serverAuth,clientAuth" : "clientAuth";
  if (!c || ::X509_set_issuer_name(c, ::X509_get_subject_name(authority.get())) != 1 ||
      !add_extension(c, authority.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(c, authority.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(c, authority.get(), NID_ext_key_usage, uses) ||
      !add_extension(c, authority.get(), NID_authority_key_identifier, "keyid") ||
      (!hosts.empty() &&
       !add_extension(c, authority.get(), NID_subject_alt_name, names_of(hosts))) ||
      ::X509_sign(c, authority_key.get(), ::EVP_sha256()) == 0)
    return cannot("make a certificate for " + name);
  if (auto there = make_folder(into); !there) return there;
  if (!write_key(to / "key.pem", key.get()) || !write_certificate(to / "cert.pem", c) ||
      !write_certificate(to / "ca.pem", authority.get()))
    return cannot("write to " + into);
  return {};
}

namespace {

certificate_authority::found useless(std::string why) {
  return {certificate_authority::found::kind::useless, std::move(why)};
}

} // namespace

certificate_authority::found certificate_authority::inspect(const std::string& folder,
                                                            const std::string& into,
                                                            certificate_use use) {
  const fs::path in{into};
  if (!fs::exists(in / "cert.pem")) return {found::kind::nothing};
  const auto certificate = read_certificate(in / "cert.pem");
  ::ERR_clear_error();
  if (!certificate) return useless("it cannot be read");
  if (!is_from_certs(*certificate)) return {};
  switch (certificate_rule{use}.judge(*certificate)) {
  case certificate_rule::verdict::other_use:
    return useless("it is a " + std::string{name_of(use_of(*certificate))} + "'s and no " +
                   std::string{name_of(use)} + "'s");
  case certificate_rule::verdict::no_use:
  case certificate_rule::verdict::too_old:
    return useless("it was made by an older ropewalk and does not say what it is for");
  case certificate_rule::verdict::right:
    break;
  }
  const auto authority = read_certificate(fs::path{folder} / "ca.pem");
  const auto trusted = read_certificate(in / "ca.pem");
  const auto key = read_key(in / "key.pem");
  const bool ours = authority && trusted && ::X509_cmp(authority.get(), trusted.get()) == 0 &&
                    ::X509_verify(certificate.get(), ::X509_get0_pubkey(authority.get())) == 1;
  const bool keyed = key && ::X509_check_private_key(certificate.get(), key.get()) == 1;
  ::ERR_clear_error();
  if (!ours) return useless("it does not come from the authority in " + folder);
  if (!keyed) return useless("its key is not beside it");
  if (::X509_cmp_current_time(::X509_get0_notAfter(certificate.get())) < 0)
    return useless("it has expired");
  return {};
}

} // namespace ropewalk
