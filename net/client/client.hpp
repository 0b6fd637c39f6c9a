#pragma once

#include "net/bytes/shared_bytes.hpp"
#include "net/protocol/decoder.hpp"
#include "net/protocol/error.hpp"
#include "net/protocol/result.hpp"
#include "net/transport/outbox.hpp"
#include "net/transport/socket.hpp"
#include "net/transport/stream.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ropewalk {

/// One answer. `payload` is the reply, or what the broker says about an error; borrowed where
/// `receive` says so.
struct client_answer {
  std::uint64_t id = 0;
  error_code code = error_code::ok;
  shared_bytes payload;
  std::uint32_t retry_after_ms = 0; ///< with BUSY and DRAINING: when it is worth trying again
};

/// What is asked for besides service and payload.
struct request_options {
  std::optional<std::chrono::milliseconds> timeout = {}; ///< none: the broker's standard
  std::optional<std::uint8_t> attempts = {};             ///< none: the broker's standard
  /// Ordering key, at most 255 bytes: those with the same run one after the other.
  std::string key = {};
  std::optional<std::uint8_t> priority = {}; ///< 0 low, 1 normal, 2 high; none: normal
  std::string trace = {}; ///< a W3C traceparent, at most 255 bytes; empty: it belongs to no trace

  /// Nothing but what is standard.
  [[nodiscard]] bool plain() const {
    return !timeout && !attempts && key.empty() && !priority && trace.empty();
  }
};

/// One connection to a broker. Requests are pipelined; answers come in any order and carry their
/// request's id. Not for two threads at a time. Needs nothing but POSIX.
///
/// Blocking: `call`, or `send` and `wait`. In an event loop: watch `fd()` for reading, and for
/// writing while `wants_write()`; then `receive` and `flush`.
class client {
public:
  /// Connects within `timeout`; the failure names the address and what to do.
  static result<client> connect(const endpoint& broker, std::chrono::milliseconds timeout);

  /// Over a connection that is there, such as one with TLS (net/tls).
  explicit client(std::unique_ptr<stream> connection);

  /// Says hello: who it is by a token (empty: none is sent), and waits for the answer. A
  /// failure says why the broker does not let it in.
  result<void> hello(std::string_view token, std::chrono::milliseconds timeout);

  /// Queues a request, to leave with the next `flush`, `wait` or `call`. Its payload is copied if
  /// it is small or borrowed. Returns its id, which is never 0.
  std::uint64_t send(std::string_view service, const shared_bytes& payload,
                     const request_options& options = {});

  /// The ids to come are higher than this one: for a connection that follows another.
  void continue_ids_after(std::uint64_t id) { last_id_ = std::max(last_id_, id); }

  /// Asks the broker for its status, a JSON text; the answer has the id that is returned. `about`:
  /// what else it is asked for, as net/PROTOCOL.md says; a broker of before knows its status only.
  std::uint64_t send_status(std::string_view about = {});

  /// Takes back a request; its answer will be CANCELLED unless it was on its way.
  void cancel(std::uint64_t id);

  /// Requests without an answer yet.
  [[nodiscard]] std::uint64_t unanswered() const { return unanswered_; }

  // -- blocking -----------------------------------------------------------------------------------

  /// The next answer, whichever it is; nothing when `timeout` is over or the connection is (see
  /// `closed`).
  std::optional<client_answer> wait(std::chrono::milliseconds timeout);

  /// One request and its answer; other requests' answers are dropped. Where the connection ends
  /// first, the code is connection_lost and the payload says how it ended.
  client_answer call(std::string_view service, std::string_view payload,
                     const request_options& options = {});

  // -- in an event loop ---------------------------------------------------------------------------

  [[nodiscard]] int fd() const { return connection_->fd(); }
  [[nodiscard]] bool wants_write() const { return blocked_; }

  /// Sends what the kernel takes. False if the connection is over.
  bool flush();

  /// Reads once and hands every answer that is complete to `on_answer(const client_answer&)`; the
  /// payloads are borrowed until it returns. `on_answer` may call `send`. False if the connection
  /// is over.
  template <class F>
  bool receive(F&& on_answer) {
    do {
      if (!read_once()) return false;
      while (auto answer = next_answer()) on_answer(*answer);
    } while (!closed_ && connection_->pending());
    return !closed_;
  }

  /// The connection is over, and why.
  [[nodiscard]] bool closed() const { return closed_; }
  [[nodiscard]] const std::string& why_closed() const { return why_closed_; }

  /// It is over because the broker said so, in an ERROR about the connection: another would end the
  /// same way.
  [[nodiscard]] bool refused() const { return refused_; }

private:
  void write_fields(std::string_view service, const request_options& options);
  bool read_once();
  std::optional<client_answer> next_answer();
  void close(std::string why);

  std::unique_ptr<stream> connection_;
  decoder decoder_;
  outbox outbox_;
  field_writer fields_;                      // of the last request
  std::optional<std::string> usual_service_; // which it asked for, if it asked for nothing else
  std::shared_ptr<char[]> buffer_;           // read_bytes, allocated at the first read
  std::uint64_t last_id_ = 0;
  std::uint64_t unanswered_ = 0;
  bool blocked_ = false;
  bool closed_ = false;
  bool refused_ = false;
  std::string why_closed_;
};

} // namespace ropewalk
