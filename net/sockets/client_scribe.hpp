#pragma once

#include "net/cluster/stream_scribe.hpp"
#include "net/http/http_decoder.hpp"
#include "net/protocol/decoder.hpp"
#include "net/protocol/limits.hpp"
#include "net/sockets/hangup_watch.hpp"
#include "net/transport/client_connection.hpp"
#include "net/transport/receive.hpp"

#include <chrono>

namespace ropewalk {

/// A client's connection, over which go frames, lines or HTTP: reads into the loop's shared buffer, or straight into a large payload's
/// own memory, and wakes its broker with a new_data_msg; the broker then takes the frames out of
/// `input`. An idle connection holds no buffer.
class client_scribe final : public stream_scribe, public client_connection {
public:
  client_scribe(shared_loop& loop, std::unique_ptr<stream> connection,
                std::size_t max_message_bytes, std::shared_ptr<hangup_watch> hangups,
                std::shared_ptr<poll_set> bulk, std::shared_ptr<void> permit,
                std::unique_ptr<http_decoder> http = nullptr)
      : stream_scribe(loop, std::move(connection), limits::client_buffer_bytes),
        client_connection(decoder_, stream_scribe::output(), http.get()),
        decoder_(max_message_bytes), http_(std::move(http)), hangups_(std::move(hangups)),
        bulk_(std::move(bulk)), permit_(std::move(permit)) {}
  ~client_scribe() override {
    hangups_->forget(fd());
    bulk_->forget(in_bulk_);
  }

  /// While nothing is read, as always, the end of the connection is noticed.
  void add_to_loop() override;
  void remove_from_loop() override;

  /// Starts reading; the sizes do not matter here.
  void configure_read(caf::io::receive_policy::config) override { add_to_loop(); }

  /// Not used: what was read is in `input`.
  std::vector<char>& rd_buf() override { return msg().buf; }

  /// What whoever let this connection in keeps for as long as it is there.
  [[nodiscard]] std::shared_ptr<void> take_permit() { return std::move(permit_); }

  // -- client_connection --------------------------------------------------------------------------

  using client_connection::output;
  [[nodiscard]] const stream& transport() const override { return connection(); }
  [[nodiscard]] std::string address() const override { return addr(); }
  [[nodiscard]] std::size_t unacknowledged() const override;
  void flush() override { stream_scribe::flush(); }
  void probe_peer() override;
  void pause_reading() override { halt(); }
  void resume_reading() override { trigger(); }
  void read_less(std::uint8_t halvings) override { halvings_ = halvings; }
  void become_bulk() override;
  void leave_bulk() override;
  [[nodiscard]] bool is_bulk() const override { return is_bulk_; }
  void discard_input() override { discarding_ = true; }
  void finish_writing() override { stream_scribe::finish_writing(); }
  void close() override { graceful_shutdown(); }
  void cut_off() override { stream_scribe::cut_off(); }

protected:
  bool read_some() override;
  void listen() override;
  void stop_listening() override;

private:
  void bulk_came(std::uint32_t events);
  [[nodiscard]] std::size_t max_read() const;
  bool read_and_tell();
  void read_on_later();
  stream::result receive();
  stream::result receive_http();
  stream::result discard();

  decoder decoder_;
  std::unique_ptr<http_decoder> http_; // null: it speaks frames or lines
  std::shared_ptr<hangup_watch> hangups_;
  std::shared_ptr<poll_set> bulk_; // shared by all
  poll_set::id in_bulk_ = 0;       // 0: the loop itself says when there are bytes
  std::shared_ptr<void> permit_;
  std::chrono::steady_clock::time_point bulk_since_{};
  bool is_bulk_ = false;
  std::uint8_t halvings_ = 0; // of what a read fetches
  bool discarding_ = false;
  bool looked_ = false; // at the first byte
  bool reads_later_ = false;
};

} // namespace ropewalk
