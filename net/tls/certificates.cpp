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

std::string complaint(const std::string& doing) {
  const char* text = ::ERR_reason_error_string(::ERR_peek_last_error());
  ::ERR_clear_error();
  return "cannot " + doing + ": " + (text ? text : std::strerror(errno));
}

file_pointer open_file(const fs::path& path, const char* mode, int permissions) {
  if (*mode == 'r') return file_pointer{std::fopen(path.c_str(), mode)};
  const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, permissions);
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

// A certificate for `key`, not yet signed.
certificate_pointer blank(EVP_PKEY* key, const std::string& name, std::chrono::hours valid) {
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
  ::X509_NAME_add_entry_by_txt(::X509_get_subject_name(result.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
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

certificate_authority::error certificate_authority::make(const std::string& folder,
                                                         std::chrono::hours valid) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) return "cannot make the folder " + folder + ": " + failed.message();
  const fs::path at{folder};
  if (fs::exists(at / "ca.pem") && fs::exists(at / "ca-key.pem")) return std::nullopt;
  const key_pointer key{::EVP_EC_gen("P-256")};
  if (!key) return complaint("make a key");
  const auto certificate = blank(key.get(), "Ropewalk cluster", valid);
  auto* c = certificate.get();
  if (!c || ::X509_set_issuer_name(c, ::X509_get_subject_name(c)) != 1 ||
      !add_extension(c, c, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(c, c, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(c, c, NID_subject_key_identifier, "hash") ||
      ::X509_sign(c, key.get(), ::EVP_sha256()) == 0)
    return complaint("make a certificate authority");
  if (!write_key(at / "ca-key.pem", key.get()) || !write_certificate(at / "ca.pem", c))
    return complaint("write to " + folder);
  return std::nullopt;
}

certificate_authority::error
certificate_authority::issue(const std::string& folder, const std::string& into,
                             const std::string& name, certificate_use use,
                             const std::vector<std::string>& hosts, std::chrono::hours valid) {
  const fs::path at{folder};
  const fs::path to{into};
  const auto authority_file = open_file(at / "ca.pem", "r", 0);
  const auto key_file = open_file(at / "ca-key.pem", "r", 0);
  if (!authority_file || !key_file) return complaint("read the authority in " + folder);
  const certificate_pointer authority{
      ::PEM_read_X509(authority_file.get(), nullptr, nullptr, nullptr)};
  const key_pointer authority_key{::PEM_read_PrivateKey(key_file.get(), nullptr, nullptr, nullptr)};
  if (!authority || !authority_key) return complaint("read the authority in " + folder);

  const key_pointer key{::EVP_EC_gen("P-256")};
  const auto certificate = key ? blank(key.get(), name, valid) : nullptr;
  auto* c = certificate.get();
  const char* uses = use == certificate_use::broker ? "serverAuth,clientAuth" : "clientAuth";
  if (!c || ::X509_set_issuer_name(c, ::X509_get_subject_name(authority.get())) != 1 ||
      !add_extension(c, authority.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(c, authority.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(c, authority.get(), NID_ext_key_usage, uses) ||
      !add_extension(c, authority.get(), NID_authority_key_identifier, "keyid") ||
      (!hosts.empty() &&
       !add_extension(c, authority.get(), NID_subject_alt_name, names_of(hosts))) ||
      ::X509_sign(c, authority_key.get(), ::EVP_sha256()) == 0)
    return complaint("make a certificate for " + name);
  std::error_code failed;
  fs::create_directories(to, failed);
  if (failed) return "cannot make the folder " + into + ": " + failed.message();
  if (!write_key(to / "key.pem", key.get()) || !write_certificate(to / "cert.pem", c) ||
      !write_certificate(to / "ca.pem", authority.get()))
    return complaint("write to " + into);
  return std::nullopt;
}

} // namespace ropewalk
