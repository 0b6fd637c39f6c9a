#pragma once

#include "net/bytes/shared_bytes.hpp"

#include <optional>
#include <string_view>
#include <vector>

namespace ropewalk {

/// Bytes that were received, while somebody takes them apart. Who finds in them what it wants to
/// keep takes a share in their memory instead of a copy.
class receive_lease {
public:
  /// The first `count` bytes of `buffer`, which must stay where it is, and as it is, until this
  /// goes away. If somebody has taken a share by then, the memory is theirs and `buffer` is left
  /// with other memory, or none.
  receive_lease(std::vector<char>& buffer, std::size_t count);

  /// `bytes` are shared already.
  explicit receive_lease(shared_bytes bytes) : shared_(std::move(bytes)), view_(shared_.view()) {}

  ~receive_lease();
  receive_lease(const receive_lease&) = delete;
  receive_lease& operator=(const receive_lease&) = delete;

  [[nodiscard]] std::string_view view() const { return view_; }

  /// A share in a part of the view; nothing if it is so little of the memory that a copy is
  /// cheaper than to keep the whole of it.
  [[nodiscard]] std::optional<shared_bytes> share(std::string_view part);

private:
  struct taken;

  std::vector<char>* buffer_ = nullptr; // null: `shared_` holds the memory
  shared_bytes shared_;
  std::string_view view_;
  taken* taken_ = nullptr; // held; null: nobody has a share in the buffer
};

} // namespace ropewalk
