#pragma once

#include "net/transport/socket.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <sys/uio.h>

namespace ropewalk {

/// A connection's bytes in both directions, never blocking: a TCP socket, or TLS over one.
class stream {
public:
  enum class state : std::uint8_t {
    ok,
    blocked, ///< nothing to read, or no room to write, for now
    end,     ///< the peer has sent its last byte
    failed,  ///< the connection is broken; `why` says how
  };

  struct result {
    stream::state state = state::ok;
    std::size_t bytes = 0;
  };

  stream() = default;
  stream(const stream&) = delete;
  stream& operator=(const stream&) = delete;
  virtual ~stream() = default;

  /// Reads what there is, into the parts one behind the other.
  virtual result receive(std::span<const iovec> into) = 0;

  /// Writes what the connection takes; `blocked` if that was not all because there is no room. What
  /// was not taken must be offered again, unchanged, before anything else.
  virtual result send(std::span<const iovec> from) = 0;

  /// Tells the peer that nothing more will come.
  virtual void finish() = 0;

  /// True if bytes wait that the kernel says nothing of any more: read again without being woken.
  [[nodiscard]] virtual bool pending() const { return false; }

  /// True if what was `blocked` waits for the socket's other direction: the last `receive` for room
  /// to write, the last `send` for bytes to read.
  [[nodiscard]] virtual bool reads_by_writing() const { return false; }
  [[nodiscard]] virtual bool sends_by_reading() const { return false; }

  /// Of one that has come to its `end`: true if the peer has not said that it has, where it could
  /// (TLS). Whoever sits in between may have cut off the rest.
  [[nodiscard]] virtual bool cut_short() const { return false; }

  /// False while hands are being shaken.
  [[nodiscard]] virtual bool ready() const { return true; }

  /// Who the peer proved to be (the common name of its certificate); empty: it did not.
  [[nodiscard]] virtual std::string peer_name() const { return {}; }

  /// Why it failed, as a sentence; empty if there is nothing to say but errno.
  [[nodiscard]] virtual std::string why() const { return {}; }

  [[nodiscard]] virtual int fd() const = 0;

  /// Somebody else closes the descriptor from now on.
  virtual void disown() = 0;
};

/// Plain TCP. Does not own the descriptor, as CAF's scribes close theirs themselves.
std::unique_ptr<stream> make_plain_stream(int fd);

/// Plain TCP, with the descriptor.
std::unique_ptr<stream> make_plain_stream(descriptor socket);

} // namespace ropewalk
