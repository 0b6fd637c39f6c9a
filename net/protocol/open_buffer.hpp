#pragma once

#include "net/protocol/bytes.hpp"

#include <memory>
#include <optional>
#include <vector>

namespace ropewalk {

/// A receive buffer whose bytes somebody is taking apart on this thread. CAF hands what it received
/// to deserialisers that can only copy out of it; who finds here what it wants to keep takes a
/// share in the buffer instead.
class open_buffer {
public:
  /// `bytes` must stay where it is, and as it is, until this goes away. If somebody has taken a
  /// share by then, the memory is theirs and `bytes` is left with other memory, or none.
  explicit open_buffer(std::vector<char>& bytes);
  ~open_buffer();
  open_buffer(const open_buffer&) = delete;
  open_buffer& operator=(const open_buffer&) = delete;

  /// A share in these bytes; nothing if they are in no open buffer of this thread, or so few of it
  /// that a copy is cheaper than the memory that would be kept for them.
  static std::optional<shared_bytes> share(std::string_view bytes);

private:
  struct taken;

  std::vector<char>& bytes_;
  std::shared_ptr<taken> taken_; // null: nobody has a share
  open_buffer* outer_;
};

} // namespace ropewalk
