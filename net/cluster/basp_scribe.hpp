#pragma once

#include "net/bytes/splice_scope.hpp"
#include "net/cluster/basp_header.hpp"
#include "net/cluster/compact_form.hpp"
#include "net/cluster/stream_scribe.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/shared_ring.hpp"

#include <functional>
#include <optional>
#include <string>

namespace ropewalk {

class compact_basp;

/// A connection between two nodes under BASP, CAF's protocol: hands BASP pieces of exactly the size
/// that it asked for, header and payload in turn, many of them from one read; to compact_basp the
/// frames that only that understands. A payload over limits::max_basp_bytes closes the connection:
/// BASP itself would believe any length. So does anything but a short handshake from a peer that is
/// not known yet.
class basp_scribe final : public stream_scribe {
public:
  /// `shared`: memory that both sides have, through which batches go. `when_refused` hears why a
  /// connection came to nothing before its peer was known.
  basp_scribe(shared_loop& loop, std::unique_ptr<stream> connection,
              std::optional<rings> shared = {},
              std::function<void(const std::string&)> when_refused = {})
      : stream_scribe(loop, std::move(connection), limits::node_buffer_bytes),
        rings_(std::move(shared)), when_refused_(std::move(when_refused)) {}

  /// BASP asks for `exactly` n bytes only.
  void configure_read(caf::io::receive_policy::config config) override;

  std::vector<char>& rd_buf() override { return piece(); }

  /// Sends a message as a compact frame, behind all that BASP has written so far.
  void send(const basp_header::compact_address& where, const compact_form& form,
            const caf::message& what);

  /// Shuts the connection down: to close the socket would not end it while somebody else has a
  /// duplicate of it (basp_transport_settings::when_connected).
  ~basp_scribe() override;

  /// To be called once, when the peer is known or the scribe goes away.
  void when_settled(std::function<void()> tell) { when_settled_ = std::move(tell); }

  /// Its peer is given no more time to shake hands.
  void give_up(const std::string& why);

protected:
  bool read_some() override;

private:
  std::vector<char>& piece();
  void on_settled();
  void note_known();
  void refuse(const std::string& why) const;
  bool read_piece();
  bool read_frame();
  bool take(const char* bytes, std::size_t count);
  void make_room();
  bool deliver();
  [[nodiscard]] bool may_be_hello() const;
  bool deliver_to_basp(std::vector<char>& delivered);
  bool deliver_from_ring();
  bool send_through_ring(std::vector<char>& buffer, std::size_t frame,
                         const basp_header::compact_address& where, std::size_t payload_bytes);

  // in_ring: where in the shared memory the compact payload lies, as its sender wrote it.
  enum class piece_kind : std::uint8_t { header, payload, compact_payload, in_ring };

  std::vector<spliced_bytes> splices_; // of the frame that is being sent; kept for its memory
  compact_basp* basp_ = nullptr;       // whose connection this is
  piece_kind next_ = piece_kind::header;
  std::size_t wanted_ = 0;
  std::size_t have_ = 0;
  // One buffer each, so that neither is shrunk and filled with zeros again at every turn.
  std::vector<char> header_;
  std::vector<char> payload_;
  std::size_t landing_bytes_ = 0; // room for the next compact payload; 0: none is expected
  std::optional<rings> rings_;
  bool launched_ = false;
  bool known_ = false; // hands are shaken, by BASP too
  std::function<void(const std::string&)> when_refused_;
  const std::string peer_ = addr(); // asked while it is there: who is refused may be gone by then
  std::function<void()> when_settled_;
};

} // namespace ropewalk
