#include "net/protocol/compact_codec.hpp"

#include <utility>

namespace ropewalk {

void compact_writer::put(const batch& value) {
  const auto count = value.size();
  put(static_cast<std::uint32_t>(count));
  for (const auto& piece : value.pieces) to_.append(piece);
  bytes_ += count;
}

bool compact_reader::get(batch& value) {
  std::uint32_t count = 0;
  if (!get(count) || rest_.size() < count) return false; // what is not there is not made room for
  const auto bytes = rest_.substr(0, count);
  rest_.remove_prefix(count);
  value.pieces.clear();
  if (count == 0) return true;
  auto share = from_.share(bytes);
  value.pieces.push_back(share ? std::move(*share) : shared_bytes::copy_of(bytes));
  return true;
}

} // namespace ropewalk
