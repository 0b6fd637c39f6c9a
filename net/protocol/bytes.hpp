#pragma once

#include "net/protocol/small_blocks.hpp"

#include <cstring>
#include <memory>
#include <string_view>

namespace ropewalk {

/// A view of bytes and, unless they are borrowed, a share in the memory that holds them. Copying
/// one costs a reference count. Shared bytes never change; borrowed ones are valid as long as their
/// lender says.
class shared_bytes {
public:
  shared_bytes() = default;

  /// Somebody else's bytes, without a share in them: call `own` before keeping them.
  static shared_bytes borrow(std::string_view view) { return {nullptr, view}; }

  /// Becomes a view of somebody else's bytes.
  void lend(std::string_view view) {
    memory_.reset();
    view_ = view;
  }

  /// A copy in memory of its own.
  static shared_bytes copy_of(std::string_view view) {
    if (view.empty()) return {};
    auto memory =
        std::allocate_shared_for_overwrite<char[]>(small_block_allocator<char>{}, view.size());
    std::memcpy(memory.get(), view.data(), view.size());
    const char* begin = memory.get();
    return {std::move(memory), {begin, view.size()}};
  }

  /// Takes a share in `memory`, of which `view` is a part.
  shared_bytes(std::shared_ptr<const char[]> memory, std::string_view view)
      : memory_(std::move(memory)), view_(view) {}

  [[nodiscard]] std::string_view view() const { return view_; }
  [[nodiscard]] std::size_t size() const { return view_.size(); }
  [[nodiscard]] bool empty() const { return view_.empty(); }
  [[nodiscard]] bool borrowed() const { return !memory_ && !view_.empty(); }

  /// The same bytes with a share in their memory: a copy if they were borrowed.
  [[nodiscard]] shared_bytes own() const { return borrowed() ? copy_of(view_) : *this; }

  /// A part of these bytes that keeps the whole memory alive.
  [[nodiscard]] shared_bytes part(std::size_t offset, std::size_t count) const {
    return {memory_, view_.substr(offset, count)};
  }

private:
  std::shared_ptr<const char[]> memory_;
  std::string_view view_;
};

} // namespace ropewalk
