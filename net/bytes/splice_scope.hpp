#pragma once

#include "net/bytes/shared_bytes.hpp"

#include <cstddef>
#include <string_view>
#include <vector>

namespace ropewalk {

/// Bytes that belong into a buffer and were not copied there: whoever sends the buffer sends them
/// in their place.
struct spliced_bytes {
  std::size_t at = 0; ///< where in the buffer: before the byte that is there
  shared_bytes bytes;
};

/// Writes to the end of a send buffer, and notes what is large in place of copying it.
class splice_scope {
public:
  /// Both must outlive this. What has `min_spliced_bytes` or more is large.
  splice_scope(std::vector<char>& buffer, std::vector<spliced_bytes>& splices,
               std::size_t min_spliced_bytes)
      : buffer_(buffer), splices_(splices), min_spliced_bytes_(min_spliced_bytes) {}

  /// `count` more bytes at the end, to be written to at once.
  [[nodiscard]] char* extend(std::size_t count) {
    const auto at = buffer_.size();
    buffer_.resize(at + count);
    return buffer_.data() + at;
  }

  /// Copies what is small, or borrowed: its lender may be gone by the time it is sent.
  void append(const shared_bytes& bytes) {
    if (bytes.size() < min_spliced_bytes_ || bytes.borrowed()) {
      const auto view = bytes.view();
      buffer_.insert(buffer_.end(), view.begin(), view.end());
    } else {
      splices_.push_back({buffer_.size(), bytes});
    }
  }

private:
  std::vector<char>& buffer_;
  std::vector<spliced_bytes>& splices_;
  std::size_t min_spliced_bytes_;
};

} // namespace ropewalk
