#pragma once

#include "net/bytes/shared_bytes.hpp"

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

  /// `bytes` are shared already.
  explicit open_buffer(const shared_bytes& bytes);
  ~open_buffer();
  open_buffer(const open_buffer&) = delete;
  open_buffer& operator=(const open_buffer&) = delete;

  /// A share in these bytes; nothing if they are in no open buffer of this thread, or so few of it
  /// that a copy is cheaper than the memory that would be kept for them.
  static std::optional<shared_bytes> share(std::string_view bytes);

private:
  struct taken;

  std::vector<char>* bytes_ = nullptr;
  const shared_bytes* shared_ = nullptr; // in place of that
  taken* taken_ = nullptr;               // held; null: nobody has a share
  open_buffer* outer_;
};

/// A send buffer that somebody serialises into on this thread. What is large need not be copied
/// into it: it is noted here, and who owns the buffer sends it in its place.
class open_output {
public:
  struct insertion {
    std::size_t message = 0; ///< where in the buffer the message begins
    std::size_t at = 0;      ///< where in the buffer the bytes belong
    shared_bytes bytes;
  };

  open_output() = default;
  ~open_output() { close(); }
  open_output(const open_output&) = delete;
  open_output& operator=(const open_output&) = delete;

  /// The next message will be written to the end of `buffer`. What has at least so many bytes is
  /// large.
  void open(const std::vector<char>& buffer, std::size_t large);

  /// False if it was not open.
  bool close();

  /// Where in the buffer the message begins.
  [[nodiscard]] std::size_t message() const { return message_; }

  /// True if the bytes are noted for the end of `buffer`; false if it is not the open one, or a
  /// copy is cheaper.
  static bool insert(const std::vector<char>& buffer, const shared_bytes& bytes);

  [[nodiscard]] std::vector<insertion>& insertions() { return insertions_; }

private:
  const std::vector<char>* buffer_ = nullptr;
  std::size_t message_ = 0;
  std::size_t large_ = 0; // bytes
  std::vector<insertion> insertions_;
};

} // namespace ropewalk
