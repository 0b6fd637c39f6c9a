#pragma once

#include "net/bytes/shared_bytes.hpp"
#include "net/transport/socket.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

namespace ropewalk {

/// Memory that two processes of one machine share, for what is large: the sender puts it there and
/// says over the socket between them where; the receiver uses it where it lies. The kernel copies
/// nothing, and neither has to look whether the other has come.
///
///     control page | what the maker sends (limits::ring_bytes) | what the other sends
///
/// Each side says in the control page how many pieces, in the order of sending, it has done with;
/// their room is used again. A piece that is held for long keeps what was sent after it: then there
/// is no room soon, and the sender takes the socket. Whoever has the other end can write here at
/// any time, so it is only for processes that trust each other.

/// A sealed memory file for `map_rings`; invalid if the system has none to give.
descriptor make_ring_memory();

class ring_mapping;

/// One thread at a time.
class ring_writer {
public:
  ring_writer(std::shared_ptr<ring_mapping> memory, bool maker);

  /// Room for so many bytes in a row, to be written and then announced; null if there is none now.
  char* take(std::size_t bytes);

  /// Where that is, as the other side understands it.
  [[nodiscard]] std::uint32_t offset_of(const char* room) const;

private:
  struct piece {
    std::size_t offset;
    std::size_t bytes;
  };

  void find_out_what_is_free();

  std::shared_ptr<ring_mapping> memory_;
  char* data_;
  const void* released_;     // the other side's count
  std::deque<piece> pieces_; // that the other side has not done with, as far as is known
  std::uint64_t freed_ = 0;  // pieces before those
};

/// Any thread may let go of what was received.
class ring_reader : public std::enable_shared_from_this<ring_reader> {
public:
  static std::shared_ptr<ring_reader> make(std::shared_ptr<ring_mapping> memory, bool maker);

  ring_reader(const ring_reader&) = delete;
  ring_reader& operator=(const ring_reader&) = delete;
  virtual ~ring_reader() = default;

  /// What was announced next; nothing if that is not within the memory.
  virtual std::optional<shared_bytes> receive(std::uint32_t offset, std::uint32_t bytes) = 0;

protected:
  ring_reader() = default;
};

struct rings {
  ring_writer out;
  std::shared_ptr<ring_reader> in;
};

/// Maps memory made by `make_ring_memory`; `maker`: this process has made it. Nothing if it is not
/// such memory, or could be made smaller by others.
std::optional<rings> map_rings(const descriptor& memory, bool maker);

} // namespace ropewalk
