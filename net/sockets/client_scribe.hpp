#pragma once

#include "net/cluster/stream_scribe.hpp"
#include "net/protocol/decoder.hpp"
#include "net/protocol/limits.hpp"
#include "net/sockets/hangup_watch.hpp"
#include "net/transport/receive.hpp"

namespace ropewalk {

/// A client's connection: reads into the loop's shared buffer, or straight into a large payload's
/// own memory, and wakes its broker with a new_data_msg; the broker then takes the frames out of
/// `input`. An idle connection holds no buffer.
class client_scribe final : public stream_scribe {
public:
  client_scribe(shared_loop& loop, std::unique_ptr<stream> connection,
                std::size_t max_message_bytes, std::shared_ptr<hangup_watch> hangups)
      : stream_scribe(loop, std::move(connection), limits::client_buffer_bytes),
        decoder_(max_message_bytes), hangups_(std::move(hangups)) {}
  ~client_scribe() override { hangups_->forget(fd()); }

  /// While nothing is read, as always, the end of the connection is noticed.
  void add_to_loop() override;
  void remove_from_loop() override;

  /// Starts reading; the sizes do not matter here.
  void configure_read(caf::io::receive_policy::config) override { add_to_loop(); }

  /// Not used: what was read is in `input`.
  std::vector<char>& rd_buf() override { return msg().buf; }

  [[nodiscard]] decoder& input() { return decoder_; }

  /// The client has closed its sending half; reading has ended.
  [[nodiscard]] bool input_ended() const { return input_ended_; }

  /// The client spoke plainly where TLS is wanted; so does the answer.
  [[nodiscard]] bool without_tls() const { return without_tls_; }

  /// From now on bytes are read and thrown away.
  void discard_input() { discarding_ = true; }

  /// Each read fetches little (limits::little_read_bytes, little_lines_bytes), or as much as usual.
  void read_little(bool yes) { read_little_ = yes; }

protected:
  bool read_some() override;

private:
  [[nodiscard]] std::size_t most_read() const;
  bool read_and_tell();
  stream::state discard();

  decoder decoder_;
  std::shared_ptr<hangup_watch> hangups_;
  bool read_little_ = false;
  bool discarding_ = false;
  bool looked_ = false; // at the first byte
  bool without_tls_ = false;
  bool input_ended_ = false;
};

} // namespace ropewalk
