#include "net/tls/tls.hpp"

#include "net/tls/tls_words.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <vector>

namespace ropewalk {

namespace {

// What one TLS record carries at most: small pieces are put together up to it.
constexpr std::size_t record_bytes = 16'384;

struct free_session {
  void operator()(SSL* session) const { ::SSL_free(session); }
};

SSL_CTX* context_of(void* context) {
  return static_cast<SSL_CTX*>(context);
}

class tls_stream final : public stream {
public:
  tls_stream(SSL* session, int fd, descriptor owned, const certificate_rule& peer)
      : session_(session), fd_(fd), owned_(std::move(owned)), peer_(peer) {
    ::SSL_set_fd(session_.get(), fd);
    SSL_set_app_data(session_.get(), this);
    ::SSL_set_info_callback(session_.get(), [](const SSL* session, int where, int what) {
      if (where == SSL_CB_READ_ALERT && (what & 0xff) == SSL_AD_CLOSE_NOTIFY)
        static_cast<tls_stream*>(SSL_get_app_data(session))->said_end_ = true;
    });
  }

  /// In place of OpenSSL's verification of the peer's certificate, in the handshake: that, and then
  /// what the certificate is for. 1 if it will do.
  static int verify(X509_STORE_CTX* chain, void*) {
    const int index = ::SSL_get_ex_data_X509_STORE_CTX_idx();
    const auto* session = static_cast<SSL*>(::X509_STORE_CTX_get_ex_data(chain, index));
    auto* self = static_cast<tls_stream*>(SSL_get_app_data(session));
    const bool good = ::X509_verify_cert(chain) == 1;
    // A worker's is no server's in OpenSSL's eyes either: the same, said better.
    if (!good && ::X509_STORE_CTX_get_error(chain) != X509_V_ERR_INVALID_PURPOSE) {
      self->refuse(*chain);
      return 0;
    }
    const X509* shown = ::X509_STORE_CTX_get0_cert(chain);
    const auto fits = self->peer_.check_peer(*shown);
    if (fits && good) return 1;
    if (fits) {
      self->refuse(*chain);
      return 0;
    }
    self->refusal_ = fits.why().text();
    // The peer hears "unsupported certificate", which is the clearest that TLS has for it.
    ::X509_STORE_CTX_set_error(chain, X509_V_ERR_INVALID_PURPOSE);
    return 0;
  }

  result receive(std::span<const iovec> into) override {
    result total;
    for (const auto& part : into) {
      std::size_t filled = 0;
      while (filled < part.iov_len) {
        const auto one = once([&](std::size_t* count) {
          return ::SSL_read_ex(session_.get(), static_cast<char*>(part.iov_base) + filled,
                               part.iov_len - filled, count);
        });
        read_wants_write_ = wants_ == SSL_ERROR_WANT_WRITE;
        if (one.state != state::ok) {
          if (total.bytes == 0) return one;
          return total; // what came first; the rest is said again when asked
        }
        filled += one.bytes;
        total.bytes += one.bytes;
      }
    }
    return total;
  }

  result send(std::span<const iovec> from) override {
    if (from.front().iov_len >= record_bytes || from.size() == 1)
      return write(from.front().iov_base, from.front().iov_len);
    std::size_t bytes = 0;
    for (const auto& part : from) {
      const auto take = std::min(part.iov_len, record_bytes - bytes);
      together_.resize(record_bytes);
      std::memcpy(together_.data() + bytes, part.iov_base, take);
      bytes += take;
      if (bytes == record_bytes) break;
    }
    const auto one = write(together_.data(), bytes);
    if (one.state == state::ok) std::vector<char>{}.swap(together_);
    return one;
  }

  /// Ok when hands are shaken.
  result shake_hands() {
    const auto one = once([&](std::size_t*) { return ::SSL_do_handshake(session_.get()); });
    read_wants_write_ = wants_ == SSL_ERROR_WANT_WRITE;
    return one;
  }

  void finish() override {
    ::SSL_shutdown(session_.get());
    ::ERR_clear_error();
    ::shutdown(fd_, SHUT_WR);
  }

  bool pending() const override { return ::SSL_pending(session_.get()) > 0; }
  bool reads_by_writing() const override { return read_wants_write_; }
  bool sends_by_reading() const override { return write_wants_read_; }
  bool cut_short() const override { return !said_end_; }
  bool ready() const override { return ::SSL_is_init_finished(session_.get()) == 1; }
  std::string why() const override { return why_; }
  int fd() const override { return fd_; }
  void disown() override { (void)owned_.release(); }

  std::string peer_name() const override {
    X509* certificate = ::SSL_get1_peer_certificate(session_.get());
    if (!certificate) return {};
    std::array<char, 256> name{};
    const int size = ::X509_NAME_get_text_by_NID(::X509_get_subject_name(certificate),
                                                 NID_commonName, name.data(), name.size());
    ::X509_free(certificate);
    return size > 0 ? std::string{name.data(), static_cast<std::size_t>(size)} : std::string{};
  }

private:
  void refuse(X509_STORE_CTX& chain) {
    refusal_ = "the peer's certificate is refused (" +
               common_name_of(*::X509_STORE_CTX_get0_cert(&chain)) +
               "): " + words_of_verification(chain);
  }

  result write(const void* bytes, std::size_t size) {
    const auto one = once(
        [&](std::size_t* count) { return ::SSL_write_ex(session_.get(), bytes, size, count); });
    write_wants_read_ = wants_ == SSL_ERROR_WANT_READ;
    return one;
  }

  template <class F>
  result once(F&& operation) {
    if (failed_) return {state::failed, 0};
    std::size_t count = 0;
    wants_ = SSL_ERROR_NONE;
    ::ERR_clear_error();
    errno = 0;
    const int done = operation(&count);
    if (done == 1) return {state::ok, count};
    wants_ = ::SSL_get_error(session_.get(), done);
    switch (wants_) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return {state::blocked, 0};
    case SSL_ERROR_ZERO_RETURN:
      return {state::end, 0};
    default:
      return failure();
    }
  }

  result failure() {
    failed_ = true;
    why_ = reason(errno);
    ::ERR_clear_error();
    return {state::failed, 0};
  }

  std::string reason(int error) {
    if (!refusal_.empty()) return refusal_;
    if (error != 0 && ::ERR_peek_error() == 0) {
      hear_last_words();
      if (::ERR_peek_error() == 0) return std::strerror(error);
    }
    if (::SSL_is_init_finished(session_.get()) == 1) return tls_complaint("TLS: ");
    return ::ERR_peek_error() == 0 ? "the peer went away in the TLS handshake"
                                   : tls_complaint("the TLS handshake failed: ");
  }

  // A peer that refuses us says why before it resets the connection; writing fails before that is
  // read.
  void hear_last_words() {
    char ignored = 0;
    std::size_t count = 0;
    (void)::SSL_peek_ex(session_.get(), &ignored, 1, &count);
  }

  std::unique_ptr<SSL, free_session> session_;
  int fd_;
  descriptor owned_;
  certificate_rule peer_;
  std::string refusal_;        // what is wrong with the peer's certificate
  int wants_ = SSL_ERROR_NONE; // what the last call could not go on without
  bool read_wants_write_ = false;
  bool write_wants_read_ = false;
  bool failed_ = false;
  bool said_end_ = false; // the peer has sent its close_notify
  std::string why_;
  std::vector<char> together_;
};

std::string cannot(const std::string& what, const std::string& file) {
  const auto why = last_complaint();
  const auto start = "cannot use " + what + " " + file + ": ";
  const descriptor opened{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (!opened.valid())
    return start + (errno == ENOENT ? "there is no such file" : std::strerror(errno));
  struct stat found {};
  if (::fstat(opened.get(), &found) == 0 && S_ISDIR(found.st_mode)) return start + "it is a folder";
  if (why.find("no start line") != std::string::npos || why.find("PEM") != std::string::npos)
    return start + "there is none in it; it must be a PEM file";
  return start + why;
}

failure bad_file(std::string what) {
  return {failure_kind::bad_input, std::move(what), {}};
}

// The certificate that is shown, and those between it and its authority.
std::vector<certificate_dates> own_dates(SSL_CTX* context, const std::string& file) {
  std::vector<certificate_dates> result{
      dates_of(*::SSL_CTX_get0_certificate(context), "the certificate " + file)};
  STACK_OF(X509)* chain = nullptr;
  ::SSL_CTX_get0_chain_certs(context, &chain);
  for (int i = 0; i < sk_X509_num(chain); ++i)
    result.push_back(
        dates_of(*sk_X509_value(chain, i), "a certificate behind the first in " + file));
  return result;
}

// Of authorities that stand in one file the last that ends counts: those before it are replaced.
std::optional<certificate_dates> last_to_end(SSL_CTX* context, const std::string& file) {
  std::optional<certificate_dates> result;
  const auto* const all = ::X509_STORE_get0_objects(::SSL_CTX_get_cert_store(context));
  for (int i = 0; i < sk_X509_OBJECT_num(all); ++i) {
    const auto* const one = ::X509_OBJECT_get0_X509(sk_X509_OBJECT_value(all, i));
    if (!one) continue; // a list of revoked ones
    auto dates = dates_of(*one, "the authority's certificate " + file);
    if (!result || dates.until > result->until) result = std::move(dates);
  }
  return result;
}

bool has_expired(SSL_CTX* context) {
  const X509* own = ::SSL_CTX_get0_certificate(context);
  return own && ::X509_cmp_current_time(::X509_get0_notAfter(own)) < 0;
}

} // namespace

tls_context::~tls_context() {
  ::SSL_CTX_free(context_of(context_));
}

result<std::shared_ptr<const tls_context>> tls_context::make(const tls_files& files,
                                                             const tls_roles& who, bool server) {
  ::ERR_clear_error();
  auto* context = ::SSL_CTX_new(server ? ::TLS_server_method() : ::TLS_client_method());
  if (!context)
    return failure{
        failure_kind::exhausted, "OpenSSL cannot make a context: " + last_complaint(), {}};
  std::shared_ptr<tls_context> made{new tls_context{context, who.peer}};
  ::SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  // Idle connections hold no record buffers. What was not written is offered again from wherever it
  // is then. A peer that closes without saying so is one that has come to its end (cut_short).
  ::SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ::SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_NO_RENEGOTIATION);
  // Sessions are long: resuming them is not worth the memory.
  ::SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_num_tickets(context, 0);

  if (!files.certificate.empty()) {
    if (::SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1)
      return bad_file(cannot("the certificate", files.certificate));
    if (::SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1)
      return bad_file(cannot("the key", files.key));
    if (::SSL_CTX_check_private_key(context) != 1)
      return bad_file("the key " + files.key + " does not belong to the certificate " +
                      files.certificate);
    if (has_expired(context))
      return bad_file("the certificate " + files.certificate +
                      " has expired: make a new one (ropewalk certs), or renew it");
    if (auto good = who.own.check_own(files.certificate, *::SSL_CTX_get0_certificate(context));
        !good)
      return std::move(good).why();
    made->certificates_ = own_dates(context, files.certificate);
  } else if (server) {
    return bad_file("who accepts TLS connections needs a certificate and its key");
  }
  ::SSL_CTX_set_cert_verify_callback(context, tls_stream::verify, nullptr);
  if (!files.authority.empty()) {
    if (::SSL_CTX_load_verify_locations(context, files.authority.c_str(), nullptr) != 1)
      return bad_file(cannot("the certificates of", files.authority));
    ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (server ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                         nullptr);
    if (auto last = last_to_end(context, files.authority))
      made->certificates_.push_back(*std::move(last));
  } else if (!server) {
    ::SSL_CTX_set_default_verify_paths(context);
    ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  }
  return std::shared_ptr<const tls_context>{std::move(made)};
}

result<std::shared_ptr<const tls_context>> tls_context::for_server(const tls_files& files,
                                                                   const tls_roles& who) {
  return make(files, who, true);
}

result<std::shared_ptr<const tls_context>> tls_context::for_client(const tls_files& files,
                                                                   const tls_roles& who) {
  return make(files, who, false);
}

std::unique_ptr<stream> tls_context::accept(int fd) const {
  auto* session = ::SSL_new(context_of(context_));
  if (!session) return nullptr;
  ::SSL_set_accept_state(session);
  return std::make_unique<tls_stream>(session, fd, descriptor{}, peer_);
}

namespace {

SSL* client_session(SSL_CTX* context, const std::string& host) {
  auto* session = ::SSL_new(context);
  if (!session) return nullptr;
  ::SSL_set_connect_state(session);
  std::array<unsigned char, 16> address{};
  const bool is_address = ::inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
                          ::inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
  if (is_address) {
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(session), host.c_str());
  } else {
    ::SSL_set1_host(session, host.c_str());
    ::SSL_set_tlsext_host_name(session, host.c_str());
  }
  return session;
}

} // namespace

std::unique_ptr<stream> tls_context::connect(int fd, const std::string& host) const {
  auto* session = client_session(context_of(context_), host);
  return session ? std::make_unique<tls_stream>(session, fd, descriptor{}, peer_) : nullptr;
}

result<std::unique_ptr<stream>> connect_tls(const endpoint& where, const tls_context& context,
                                            std::chrono::milliseconds timeout) {
  const auto end = std::chrono::steady_clock::now() + timeout;
  auto connected = connect_tcp(where, timeout);
  if (!connected) return std::move(connected).why();
  auto& socket = *connected;
  const int fd = socket.get();
  auto* session = client_session(context_of(context.context_), where.host);
  if (!session) return failure{failure_kind::exhausted, "no memory for a TLS connection", {}};
  auto made = std::make_unique<tls_stream>(session, fd, std::move(socket), context.peer_);
  for (;;) {
    const auto done = made->shake_hands().state;
    if (done == stream::state::ok) return std::unique_ptr<stream>{std::move(made)};
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (done != stream::state::blocked)
      return failure{
          failure_kind::refused,
          "no TLS with " + where.text() + ": " +
              (done == stream::state::end ? "the peer went away in the handshake" : made->why()),
          {}};
    if (left.count() <= 0)
      return failure{failure_kind::unavailable,
                     "no TLS with " + where.text() + ": it does not answer", "does it speak TLS?"};
    pollfd waiting{fd, static_cast<short>(made->reads_by_writing() ? POLLOUT : POLLIN), 0};
    ::poll(&waiting, 1, static_cast<int>(left.count()));
  }
}

} // namespace ropewalk
