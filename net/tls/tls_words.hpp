#pragma once

#include <openssl/types.h>
#include <string>
#include <string_view>

/// What OpenSSL says, in this product's words, with what to do about it. Each takes OpenSSL's errors
/// of this thread off its queue.
namespace ropewalk {

/// The last thing that OpenSSL complained about, in its own words: for what has none here.
std::string last_complaint();

/// The same, of a handshake or of what comes after it; `where` is put before OpenSSL's own words.
std::string tls_complaint(std::string_view where);

/// Why the peer's certificate will not do, when OpenSSL has looked at it.
std::string words_of_verification(X509_STORE_CTX& chain);

} // namespace ropewalk
