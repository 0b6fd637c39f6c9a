#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdexcept>
#include <string>

namespace ropewalk {

/// Certificates that `ropewalk certs` does not make, or does not make any more: of other
/// authorities, without a role, or with one that does not go with what else they say.
struct certificate_by_hand {
  std::string name;
  std::string unit;    ///< the OU; empty: none, as before certificates had a role
  bool serves = false; ///< the extended key usage of a server besides that of a client
  long begins = -300; ///< in so many seconds; it is good for a day and a bit from now, or from then
};

namespace by_hand {

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* what) const {
    Free(what);
  }
};
using key = std::unique_ptr<EVP_PKEY, freed_by<::EVP_PKEY_free>>;
using x509 = std::unique_ptr<X509, freed_by<::X509_free>>;
using file = std::unique_ptr<std::FILE, freed_by<std::fclose>>;

inline void must(bool good) {
  if (!good) throw std::runtime_error{"OpenSSL makes no certificate"};
}

inline file open(const std::string& path, const char* mode) {
  file result{std::fopen(path.c_str(), mode)};
  must(result != nullptr);
  return result;
}

inline void add_name(X509_NAME* to, const char* kind, const std::string& text) {
  must(::X509_NAME_add_entry_by_txt(to, kind, MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(text.c_str()), -1, -1,
                                    0) == 1);
}

inline void add_extension(X509* to, int what, const char* value) {
  X509V3_CTX context;
  ::X509V3_set_ctx(&context, to, to, nullptr, nullptr, 0);
  auto* extension = ::X509V3_EXT_conf_nid(nullptr, &context, what, value);
  must(extension != nullptr && ::X509_add_ext(to, extension, -1) == 1);
  ::X509_EXTENSION_free(extension);
}

// Signed by the authority, or by itself where there is none; written to certificate and key file.
inline void write(const certificate_by_hand& what, const X509* authority, EVP_PKEY* authority_key,
                  const std::string& certificate_file, const std::string& key_file) {
  const key own{::EVP_EC_gen("P-256")};
  const x509 made{::X509_new()};
  auto* c = made.get();
  must(own && c && ::X509_set_version(c, 2) == 1 &&
       ::ASN1_INTEGER_set(::X509_get_serialNumber(c), 7) == 1 && ::X509_set_pubkey(c, own.get()));
  ::X509_gmtime_adj(::X509_getm_notBefore(c), what.begins);
  ::X509_gmtime_adj(::X509_getm_notAfter(c), what.begins + 300 + 86'400);
  add_name(::X509_get_subject_name(c), "CN", what.name);
  if (!what.unit.empty()) add_name(::X509_get_subject_name(c), "OU", what.unit);
  must(::X509_set_issuer_name(c, ::X509_get_subject_name(authority ? authority : c)) == 1);
  if (authority) {
    add_extension(c, NID_ext_key_usage, what.serves ? "serverAuth,clientAuth" : "clientAuth");
    add_extension(c, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
  } else {
    add_extension(c, NID_basic_constraints, "critical,CA:TRUE");
  }
  must(::X509_sign(c, authority ? authority_key : own.get(), ::EVP_sha256()) > 0);
  must(::PEM_write_X509(open(certificate_file, "w").get(), c) == 1);
  must(::PEM_write_PrivateKey(open(key_file, "w").get(), own.get(), nullptr, nullptr, 0, nullptr,
                              nullptr) == 1);
}

} // namespace by_hand

/// Makes cert.pem, key.pem and ca.pem in folder/into, by the authority in `folder` (ca.pem and
/// ca-key.pem).
inline void issue_by_hand(const std::string& folder, const std::string& into,
                          const certificate_by_hand& what) {
  const by_hand::x509 authority{
      ::PEM_read_X509(by_hand::open(folder + "/ca.pem", "r").get(), nullptr, nullptr, nullptr)};
  const by_hand::key key{::PEM_read_PrivateKey(by_hand::open(folder + "/ca-key.pem", "r").get(),
                                               nullptr, nullptr, nullptr)};
  by_hand::must(authority && key);
  const auto to = folder + "/" + into;
  std::filesystem::create_directories(to);
  by_hand::write(what, authority.get(), key.get(), to + "/cert.pem", to + "/key.pem");
  std::filesystem::copy_file(folder + "/ca.pem", to + "/ca.pem",
                             std::filesystem::copy_options::overwrite_existing);
}

/// Makes an authority of this name in `folder`.
inline void authority_by_hand(const std::string& folder, const std::string& name) {
  by_hand::write({name, {}}, nullptr, nullptr, folder + "/ca.pem", folder + "/ca-key.pem");
}

} // namespace ropewalk
