#pragma once

#include "net/transport/outbox.hpp"

#include <caf/io/network/event_handler.hpp>
#include <caf/io/scribe.hpp>

namespace ropewalk {

class shared_loop;

/// A TCP connection in CAF's event loop, owned by a CAF broker, in place of CAF's own scribe. That
/// one pays two epoll_ctl and an extra turn of the loop for every flush and fills its read buffers
/// with zeros first; this one writes at once and asks for write events only when the kernel's
/// buffer is full. What reading means is up to the two derived classes: frames for clients, pieces
/// of a wanted size for BASP.
///
/// All members run on the event loop's thread.
class stream_scribe : public caf::io::scribe {
public:
  /// Takes over the socket of `connection`, which says how bytes go over it.
  stream_scribe(shared_loop& loop, std::unique_ptr<stream> connection,
                std::size_t kept_write_bytes);

  // -- what a CAF broker asks of a scribe ---------------------------------------------------------

  /// Nobody here asks for write receipts: neither BASP nor the front.
  void ack_writes(bool enable) override;
  std::vector<char>& wr_buf() override { return outbox_.tail(); }

  /// Writes what was appended. When the kernel takes no more, the rest follows by itself.
  void flush() override;

  /// Leaves the broker at once; what was appended is still sent, then the connection is closed.
  void graceful_shutdown() override;
  std::string addr() const override;
  std::uint16_t port() const override;
  void add_to_loop() override;
  void remove_from_loop() override;

  // -- what the front asks ------------------------------------------------------------------------

  [[nodiscard]] outbox& output() { return outbox_; }
  [[nodiscard]] const stream& connection() const { return *stream_; }

  /// Tells the peer that nothing more will come, once all is sent. Reading goes on.
  void finish_writing();

  /// Leaves the broker at once and drops what was not sent.
  void cut_off();

protected:
  /// The socket has bytes (or its end): false if the connection is over.
  virtual bool read_some() = 0;

  [[nodiscard]] int fd() const { return events_.fd(); }
  [[nodiscard]] stream& wire() { return *stream_; }

  /// SIOCOUTQ: what was sent and the peer has not acknowledged; SIOCINQ: what came and was not read.
  [[nodiscard]] std::size_t bytes_in_kernel(unsigned long which) const;

  /// Has `bytes_came` called when there are bytes (or their end), and `hung_up` when the connection is
  /// over, and no more. It is the loop that calls, unless a derived class has somebody else do it.
  virtual void listen() { events_.listen_for_reads(); }
  virtual void stop_listening() { events_.stop_reads(); }
  void bytes_came();

  /// Goes on without TLS: the peer does not speak it.
  void speak_plain() { stream_ = make_plain_stream(fd()); }

  /// Somebody wants to read.
  [[nodiscard]] bool wanted() const { return wanted_; }

  /// True if bytes wait in the connection that the loop will say nothing of, and are wanted.
  [[nodiscard]] bool reads_on() const { return wanted_ && !detached() && stream_->pending(); }
  [[nodiscard]] caf::io::network::default_multiplexer& loop() { return events_.backend(); }

  /// Sends the broker a new_data_msg; what is to be found in it, or beside it, is up to both.
  void notify_broker();

  /// The connection has come to its end, as the loop says.
  void hung_up();

  /// Ends the connection from within a handler: the broker is told on the loop's next turn.
  void fail_later();

private:
  class events final : public caf::io::network::event_handler {
  public:
    events(shared_loop& loop, int fd, stream_scribe& owner);
    void handle_event(caf::io::network::operation op) override;
    void removed_from_loop(caf::io::network::operation op) override;
    void graceful_shutdown() override { owner_.graceful_shutdown(); }

    void listen_for_reads();
    void stop_reads();
    void listen_for_writes();
    void stop_writes();
    [[nodiscard]] bool listens_for_writes() const { return listens_for_writes_; }

  private:
    void let_go(caf::intrusive_ptr<stream_scribe>& held);

    stream_scribe& owner_;
    bool listens_for_writes_ = false;

    // While the loop may call, somebody must hold the scribe.
    caf::intrusive_ptr<stream_scribe> reading_;
    caf::intrusive_ptr<stream_scribe> writing_;
  };

  void send_some();
  void read_once();
  void release_later_if_costly();

  events events_;
  std::unique_ptr<stream> stream_;
  outbox outbox_;
  bool wanted_ = false;
  bool finishing_ = false; // FIN when the outbox is empty
  bool failed_ = false;
};

/// Where the event loop's connections read to: one buffer of limits::read_bytes a thread.
char* shared_read_buffer();

} // namespace ropewalk
