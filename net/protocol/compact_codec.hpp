#pragma once

#include "net/bytes/byte_order.hpp"
#include "net/bytes/splice_scope.hpp"
#include "net/protocol/batch.hpp"
#include "net/protocol/receive_lease.hpp"

#include <concepts>
#include <cstdint>
#include <cstring>
#include <string_view>

/// What is in a compact frame between broker and node: values one behind the other and nothing
/// else, numbers big-endian, a batch as its size in bytes (u32) and its pieces back to back.
namespace ropewalk {

class compact_writer {
public:
  /// `to` must outlive this.
  explicit compact_writer(splice_scope& to) : to_(to) {}

  template <std::unsigned_integral Number>
  void put(Number value) {
    store_be(to_.extend(sizeof value), value);
    bytes_ += sizeof value;
  }

  /// Large pieces are spliced.
  void put(const batch& value);

  /// How long the payload is so far, with what is not in the buffer itself.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

private:
  splice_scope& to_;
  std::size_t bytes_ = 0;
};

class compact_reader {
public:
  /// `from` must outlive this.
  explicit compact_reader(receive_lease& from) : from_(from), rest_(from.view()) {}

  // False if the bytes make no sense: then what was read is of no use.

  template <std::unsigned_integral Number>
  [[nodiscard]] bool get(Number& value) {
    if (rest_.size() < sizeof value) return false;
    value = load_be<Number>(rest_.data());
    rest_.remove_prefix(sizeof value);
    return true;
  }

  /// In one piece, which shares the received memory, or is a copy if that is cheaper.
  [[nodiscard]] bool get(batch& value);

  [[nodiscard]] bool at_end() const { return rest_.empty(); }

private:
  receive_lease& from_;
  std::string_view rest_;
};

} // namespace ropewalk
