#pragma once

#include "net/protocol/decoder.hpp"
#include "net/transport/outbox.hpp"
#include "net/transport/stream.hpp"

#include <cstddef>
#include <memory>
#include <string>

namespace ropewalk {

class http_decoder;

/// A client's connection as those see it who decide about it: frames in, answers out, and how it
/// comes to its end. Whoever owns the socket implements it; tests do without one.
///
/// All members run on the thread of the connection's event loop.
class client_connection {
public:
  client_connection(const client_connection&) = delete;
  client_connection& operator=(const client_connection&) = delete;
  virtual ~client_connection() = default;

  [[nodiscard]] decoder& input() { return input_; }
  /// What comes, where it is HTTP; then `input` is not used. Null: it is frames or lines.
  [[nodiscard]] http_decoder* http() { return http_; }
  [[nodiscard]] outbox& output() { return output_; }
  [[nodiscard]] const outbox& output() const { return output_; }

  /// How bytes go over it: whether hands have been shaken, and who the peer proved to be.
  [[nodiscard]] virtual const stream& transport() const = 0;

  /// The peer's address, for people.
  [[nodiscard]] virtual std::string address() const = 0;

  /// The client has closed its sending half; reading has ended.
  [[nodiscard]] bool input_ended() const { return input_ended_; }

  /// The client spoke plainly where TLS is wanted; so does the answer.
  [[nodiscard]] bool without_tls() const { return without_tls_; }

  /// Bytes that were handed to the kernel and that the peer has not acknowledged.
  [[nodiscard]] virtual std::size_t unacknowledged() const = 0;

  /// Writes what was appended to `output`. What the kernel does not take now follows by itself.
  virtual void flush() = 0;

  /// The client has closed its half, and may be gone altogether: from now on it is asked every
  /// half minute, by its kernel, whether it is there.
  virtual void probe_peer() = 0;

  virtual void pause_reading() = 0;
  virtual void resume_reading() = 0;

  /// From now on a read fetches at most limits::read_bytes (of frames, or lines_read_bytes of text
  /// lines and heads of HTTP) halved so often, and no less than little_read_bytes (or
  /// little_lines_bytes, or little_heads_bytes).
  virtual void read_less(std::uint8_t halvings) = 0;

  /// From now on it is bulk: read in turn with others that are, and all of them together for
  /// limits::bulk_time_us in a turn of the loop. That ends by itself when there is time for all, or
  /// it is told to.
  virtual void become_bulk() = 0;
  virtual void leave_bulk() = 0;
  [[nodiscard]] virtual bool is_bulk() const = 0;

  /// What the last read brought, in bytes.
  [[nodiscard]] std::size_t last_read_bytes() const { return last_read_bytes_; }

  /// Keeps this until the socket is closed: what counts it as a client's.
  void keep(std::shared_ptr<void> permit) { kept_ = std::move(permit); }

  /// From now on bytes are read and thrown away.
  virtual void discard_input() = 0;

  /// Tells the peer that nothing more will come, once all is sent. Reading goes on.
  virtual void finish_writing() = 0;

  /// Is over for the broker; what was appended is still sent, then the socket is closed.
  virtual void close() = 0;

  /// Is over at once; what was not sent is dropped.
  virtual void cut_off() = 0;

protected:
  /// All must live as long as this.
  client_connection(decoder& input, outbox& output, http_decoder* http = nullptr)
      : input_(input), output_(output), http_(http) {}

  void end_input() { input_ended_ = true; }
  void go_without_tls() { without_tls_ = true; }
  void has_read(std::size_t bytes) { last_read_bytes_ = bytes; }

private:
  decoder& input_;
  outbox& output_;
  http_decoder* http_;
  std::shared_ptr<void> kept_;
  std::size_t last_read_bytes_ = 0;
  bool input_ended_ = false;
  bool without_tls_ = false;
};

} // namespace ropewalk
