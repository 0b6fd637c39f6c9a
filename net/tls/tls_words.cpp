#include "net/tls/tls_words.hpp"

#include "net/tls/certificate_dates.hpp"
#include "net/tls/certificate_use.hpp"

#include <arpa/inet.h>
#include <array>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

namespace ropewalk {

namespace {

// What came is no TLS at all.
bool is_plain_speech(int reason) {
  return reason == SSL_R_WRONG_VERSION_NUMBER || reason == SSL_R_PACKET_LENGTH_TOO_LONG ||
         reason == SSL_R_BAD_RECORD_TYPE || reason == SSL_R_HTTP_REQUEST;
}

// What the peer thinks of our certificate, by its alert (RFC 8446, 6); null: it is about something
// else.
const char* refusal_by_peer(int alert) {
  switch (alert) {
  case SSL_AD_BAD_CERTIFICATE:
    return "it cannot read it, or its signature is wrong";
  case SSL_AD_UNSUPPORTED_CERTIFICATE:
    return "it is not for this use";
  case SSL_AD_CERTIFICATE_REVOKED:
    return "it was revoked";
  case SSL_AD_CERTIFICATE_EXPIRED:
    return "it is not valid now: has it ended, or is one of the clocks wrong?";
  case SSL_AD_CERTIFICATE_UNKNOWN:
    return "it does not say why";
  case SSL_AD_UNKNOWN_CA:
    return "it does not come from the authority that the peer trusts";
  case SSL_AD_ACCESS_DENIED:
    return "it may not come in";
  default:
    return nullptr;
  }
}

const char* words_of_reason(int reason) {
  if (is_plain_speech(reason))
    return "the peer does not speak TLS here: leave TLS out on this side, or switch it on there";
  switch (reason) {
  case SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_REQUIRED:
    return "the peer asks for a certificate, and there is none to show";
  case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    return "the peer showed no certificate, and needs one here (--tls-cert and --tls-key of a "
           "client, --cluster-tls of a worker)";
  case SSL_R_UNEXPECTED_EOF_WHILE_READING:
    return "the peer went away in the middle";
  case SSL_R_UNSUPPORTED_PROTOCOL:
  case SSL_R_NO_PROTOCOLS_AVAILABLE:
  case SSL_AD_REASON_OFFSET + SSL_AD_PROTOCOL_VERSION:
    return "both sides have no version of TLS in common: this one speaks 1.2 and 1.3";
  case SSL_R_NO_SHARED_CIPHER:
  case SSL_AD_REASON_OFFSET + SSL_AD_HANDSHAKE_FAILURE:
    return "both sides have no cipher, or kind of key, in common";
  default:
    return nullptr;
  }
}

// The names and addresses that it is made out to.
std::string hosts_of(const X509& certificate) {
  auto* const names = static_cast<GENERAL_NAMES*>(
      ::X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string result;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names) && result.size() < 300; ++i) {
    int type = 0;
    const auto* const value = static_cast<const ASN1_STRING*>(
        ::GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type));
    const auto* const bytes = ::ASN1_STRING_get0_data(value);
    const auto size = ::ASN1_STRING_length(value);
    std::string one;
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (type == GEN_DNS)
      one.assign(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    else if (type == GEN_IPADD && (size == 4 || size == 16) &&
             ::inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, text.data(), text.size()))
      one = text.data();
    for (auto& c : one)
      if (c < 0x20 || c == 0x7f) c = '?';
    if (!one.empty()) result.append(result.empty() ? "" : ", ").append(one);
  }
  ::GENERAL_NAMES_free(names);
  return result.empty() ? "nobody" : result;
}

std::string wanted_host(X509_STORE_CTX& chain) {
  auto* const wanted = ::X509_STORE_CTX_get0_param(&chain);
  if (const char* const host = ::X509_VERIFY_PARAM_get0_host(wanted, 0)) return host;
  char* const address = ::X509_VERIFY_PARAM_get1_ip_asc(wanted);
  std::string result = address ? address : "this host";
  ::OPENSSL_free(address);
  return result;
}

std::string other_host(X509_STORE_CTX& chain, const X509& shown) {
  const auto host = wanted_host(chain);
  return "it is made out to " + hosts_of(shown) + " and not to " + host +
         ": name the broker as it is there, or make one for it (ropewalk certs --host " + host +
         ")";
}

} // namespace

std::string last_complaint() {
  const char* text = ::ERR_reason_error_string(::ERR_peek_last_error());
  ::ERR_clear_error();
  return text ? text : "no reason given";
}

std::string tls_complaint(std::string_view where) {
  const auto code = ::ERR_peek_last_error();
  const int reason = ::ERR_GET_LIB(code) == ERR_LIB_SSL ? ::ERR_GET_REASON(code) : 0;
  if (const auto* words = words_of_reason(reason)) {
    ::ERR_clear_error();
    return words;
  }
  const auto* const refusal = refusal_by_peer(reason - SSL_AD_REASON_OFFSET);
  if (!refusal) return std::string{where} + last_complaint();
  ::ERR_clear_error();
  return std::string{"the peer refuses our certificate ("} + refusal + "); its log says why";
}

std::string words_of_verification(X509_STORE_CTX& chain) {
  const auto* const shown = ::X509_STORE_CTX_get0_cert(&chain);
  const auto* const at = ::X509_STORE_CTX_get_current_cert(&chain);
  const bool is_own = !at || ::X509_STORE_CTX_get_error_depth(&chain) == 0;
  const auto dates = dates_of(at ? *at : *shown, {});
  const std::string it = is_own ? "it" : "the certificate of its authority (" + dates.name + ")";
  switch (const int error = ::X509_STORE_CTX_get_error(&chain)) {
  case X509_V_ERR_CERT_HAS_EXPIRED:
    return it + " was good until " + utc_text(dates.until) +
           ": the peer needs a new one (ropewalk certs), or this machine's clock is wrong";
  case X509_V_ERR_CERT_NOT_YET_VALID:
    return it + " is not valid before " + utc_text(dates.from) + ": is one of the clocks wrong?";
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    return "it is signed by itself, and by no authority that is trusted here: take one that the "
           "authority has made (ropewalk certs), or trust this one";
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
  case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
  case X509_V_ERR_CERT_UNTRUSTED:
    return "it does not come from the authority that is trusted here: both sides need the same "
           "authority (ca.pem), or the peer leaves out certificates between it and that";
  case X509_V_ERR_CERT_SIGNATURE_FAILURE:
  case X509_V_ERR_AKID_SKID_MISMATCH:
  case X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH:
    return "it comes from another authority of the same name: both sides need the same one "
           "(ca.pem)";
  case X509_V_ERR_HOSTNAME_MISMATCH:
  case X509_V_ERR_IP_ADDRESS_MISMATCH:
    return other_host(chain, *shown);
  case X509_V_ERR_CERT_REVOKED:
    return it + " was revoked: the peer needs a new one";
  case X509_V_ERR_INVALID_PURPOSE:
    return it + " is not made for this use: it says what it may be used for, and that is something "
                "else (extended key usage)";
  case X509_V_ERR_INVALID_CA:
  case X509_V_ERR_PATH_LENGTH_EXCEEDED:
  case X509_V_ERR_KEYUSAGE_NO_CERTSIGN:
    return "who has made it is no authority, or may not make such ones";
  case X509_V_ERR_EE_KEY_TOO_SMALL:
  case X509_V_ERR_CA_KEY_TOO_SMALL:
  case X509_V_ERR_CA_MD_TOO_WEAK:
    return it + " has a key or a signature that is too weak for this machine's rules";
  default:
    return it + " cannot be verified (OpenSSL's error " + std::to_string(error) + ": " +
           ::X509_verify_cert_error_string(error) + ")";
  }
}

} // namespace ropewalk
