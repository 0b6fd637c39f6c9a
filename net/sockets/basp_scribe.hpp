#pragma once

#include "net/protocol/limits.hpp"
#include "net/sockets/stream_scribe.hpp"

namespace ropewalk {

/// A connection between two nodes under BASP, CAF's protocol: hands BASP pieces of exactly the size
/// that it asked for, header and payload in turn, many of them from one read. A payload over
/// limits::max_basp_bytes closes the connection: BASP itself would believe any length.
class basp_scribe final : public stream_scribe {
public:
  basp_scribe(caf::io::network::default_multiplexer& loop, caf::io::network::native_socket fd)
      : stream_scribe(loop, fd, limits::node_buffer_bytes) {}

  /// BASP asks for `exactly` n bytes only.
  void configure_read(caf::io::receive_policy::config config) override;

  std::vector<char>& rd_buf() override { return piece(); }

protected:
  bool read_some() override;

private:
  std::vector<char>& piece();
  bool take(const char* bytes, std::size_t count);
  void make_room();
  bool deliver();

  std::size_t wanted_ = 0;
  std::size_t have_ = 0;
  // One buffer each, so that neither is shrunk and filled with zeros again at every turn.
  std::vector<char> header_;
  std::vector<char> payload_;
  bool launched_ = false;
};

} // namespace ropewalk
