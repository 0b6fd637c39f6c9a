// ropewalk/client.hpp: a client in C++, for the library Ropewalk::client.
//
//     ropewalk::async_client client{{.broker = "127.0.0.1:7070"}};
//     const auto answer = client.call({.service = "score", .payload = "..."});
//     auto later = client.send({.service = "score", .payload = "..."});   // a std::future
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <string_view>

namespace ropewalk {

/// One connection to a broker, with a thread of its own: made when it is first needed, and made
/// again when it was lost. Every request has exactly one answer; requests are pipelined, and answers
/// come in any order. All members may be called by any thread.
class async_client {
public:
  struct settings {
    std::string broker = "127.0.0.1:7070"; ///< HOST:PORT of its clients
    std::string token = {};                ///< says who the client is; empty: none is sent
    /// TLS, if the first is not empty: PEM files of the authority of the broker's certificate, and
    /// of a certificate of the client's own with its key.
    std::string tls_authority = {};
    std::string tls_certificate = {};
    std::string tls_key = {};
    std::chrono::milliseconds connect_timeout{5'000};
    /// How long a request waits for a connection, which is tried again and again; 0: one try.
    std::chrono::milliseconds give_up_after{30'000};
    /// Requests without an answer, at most: who sends more waits. At least 1.
    std::size_t max_unanswered = 16'384;
  };

  struct request {
    std::string service; ///< 1 to 128 bytes, no blanks
    std::string payload = {};
    std::chrono::milliseconds timeout{0}; ///< until the answer is TIMEOUT; 0: the broker's standard
    unsigned attempts = 0; ///< how often it may be started, at most 255; 0: the broker's standard
    std::string key = {};  ///< at most 255 bytes: those with the same run one after the other
    unsigned priority = 1; ///< 0 low, 1 normal, 2 high
  };

  /// How a request ended: the numbers of the protocol's errors.
  enum class status : std::uint8_t {
    ok = 0,
    failed = 1,       ///< the handler ran and says that it failed
    timeout = 2,      ///< the deadline passed
    busy = 3,         ///< a limit is reached; not started
    no_service = 4,   ///< no worker ever offered that service
    too_large = 5,    ///< the message, or the reply, is over the cap
    worker_lost = 6,  ///< every attempt's worker died
    bad_request = 7,  ///< it makes no sense
    unauthorized = 8, ///< it may not ask for that
    draining = 9,     ///< the broker is going down; not started
    cancelled = 10,   ///< it was taken back
    /// The connection ended before the answer came, and what was asked may have run; or there was
    /// none to be had, and it has not. The payload says which.
    connection_lost = 255,
  };

  struct answer {
    async_client::status status = status::ok;
    std::string payload; ///< the reply, or a sentence that says why there is none
    std::chrono::milliseconds
        retry_after; ///< with busy and draining: when it is worth trying again

    [[nodiscard]] bool ok() const { return status == async_client::status::ok; }
  };

  /// Starts the thread, and nothing else: what cannot be reached is said by the answers. A broker
  /// that is no HOST:PORT throws std::invalid_argument.
  explicit async_client(settings with);

  /// What is unanswered is answered connection_lost first; what is sent in turn is dropped. Not from
  /// within an `on_answer`. A try to connect that is under way is waited for (connect_timeout).
  ~async_client();
  async_client(const async_client&) = delete;
  async_client& operator=(const async_client&) = delete;

  /// Waits for the answer. Not from within an `on_answer`.
  answer call(request what);

  /// Sends it, and waits only while there are `max_unanswered`. The answer is in the future; that
  /// may be given up.
  std::future<answer> send(request what);

  /// The same; `on_answer` is called with the answer, once, by the client's thread, which does
  /// nothing else meanwhile: it must not block or throw, but may send, which then never waits.
  void send(request what, std::function<void(answer&&)> on_answer);

  /// As the protocol spells it: "OK", "FAILED", "CONNECTION_LOST", ...
  static std::string_view name_of(status which);

private:
  class connection_thread;
  std::unique_ptr<connection_thread> thread_;
};

} // namespace ropewalk
