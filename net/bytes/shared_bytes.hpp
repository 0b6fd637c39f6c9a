#pragma once

#include "net/bytes/small_blocks.hpp"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace ropewalk {

/// Memory with a count of those who hold it. As std::shared_ptr's control block, but a pointer to
/// it is one word and not two, and who is the last holder needs no atomic write to know it: for
/// small messages both tell.
class shared_memory {
public:
  shared_memory() = default;
  shared_memory(const shared_memory&) = delete;
  shared_memory& operator=(const shared_memory&) = delete;

  void hold() { holders_.fetch_add(1, std::memory_order_relaxed); }

  void let_go() {
    if (holders_.load(std::memory_order_acquire) == 1 ||
        holders_.fetch_sub(1, std::memory_order_acq_rel) == 1)
      dispose();
  }

protected:
  virtual ~shared_memory() = default;

  /// Nobody holds it any more: goes away as it came.
  virtual void dispose() { delete this; }

private:
  std::atomic<std::uint32_t> holders_{1};
};

class shared_bytes;

/// Memory of its own, to be written to and then shared. Not initialised.
class fresh_bytes {
public:
  fresh_bytes() = default;
  explicit fresh_bytes(std::size_t bytes)
      : block_(::new (small_blocks::take(sizeof(block) + bytes)) block{bytes}) {}
  fresh_bytes(fresh_bytes&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  fresh_bytes& operator=(fresh_bytes&& other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~fresh_bytes() {
    if (block_) block_->let_go();
  }

  [[nodiscard]] bool valid() const { return block_ != nullptr; }
  [[nodiscard]] char* data() { return reinterpret_cast<char*>(block_ + 1); }
  [[nodiscard]] std::size_t size() const { return block_ ? block_->bytes : 0; }

  /// The first `count` bytes for everybody; this is left without any.
  [[nodiscard]] shared_bytes share(std::size_t count) &&;

private:
  struct block final : shared_memory {
    explicit block(std::size_t count) : bytes(count) {}
    void dispose() override {
      const auto whole = sizeof(block) + bytes;
      this->~block();
      small_blocks::give(this, whole);
    }
    std::size_t bytes;
  };

  block* block_ = nullptr;
};

/// A view of bytes and, unless they are borrowed, a share in the memory that holds them. Copying
/// one costs a reference count. Shared bytes never change; borrowed ones are valid as long as their
/// lender says.
class shared_bytes {
public:
  shared_bytes() = default;

  /// Takes over a share in `memory`, of which `view` is a part.
  shared_bytes(shared_memory* memory, std::string_view view)
      : memory_(memory), data_(view.data()), size_(view.size()) {}

  shared_bytes(const shared_bytes& other)
      : memory_(other.memory_), data_(other.data_), size_(other.size_) {
    if (memory_) memory_->hold();
  }
  shared_bytes(shared_bytes&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  shared_bytes& operator=(const shared_bytes& other) { return *this = shared_bytes{other}; }
  [[gnu::always_inline]] shared_bytes& operator=(shared_bytes&& other) noexcept {
    if (this != &other)
      become(std::exchange(other.memory_, nullptr), std::exchange(other.data_, nullptr),
             std::exchange(other.size_, 0));
    return *this;
  }
  ~shared_bytes() {
    if (memory_) memory_->let_go();
  }

  /// Somebody else's bytes, without a share in them: call `own` before keeping them.
  static shared_bytes borrow(std::string_view view) { return {nullptr, view}; }

  /// Becomes that.
  void lend(std::string_view view) { become(nullptr, view.data(), view.size()); }

  /// A copy in memory of its own.
  static shared_bytes copy_of(std::string_view view) {
    shared_bytes result;
    result.copy(view);
    return result;
  }

  /// Becomes these bytes with a share in their memory: a copy if they are borrowed.
  void keep(const shared_bytes& bytes) {
    if (bytes.borrowed())
      copy(bytes.view());
    else
      *this = bytes;
  }

  [[nodiscard]] std::string_view view() const { return {data_, size_}; }
  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] bool borrowed() const { return !memory_ && size_ > 0; }

  /// The same bytes with a share in their memory: a copy if they were borrowed.
  [[nodiscard]] shared_bytes own() const {
    shared_bytes result;
    result.keep(*this);
    return result;
  }

  /// A part of these bytes that keeps the whole memory alive.
  [[nodiscard]] shared_bytes part(std::size_t offset, std::size_t count) const {
    if (memory_) memory_->hold();
    return {memory_, view().substr(offset, count)};
  }

private:
  void become(shared_memory* memory, const char* data, std::size_t size) {
    if (auto* const before = std::exchange(memory_, memory)) before->let_go();
    data_ = data;
    size_ = size;
  }

  void copy(std::string_view view) {
    if (view.empty()) return become(nullptr, nullptr, 0);
    fresh_bytes memory{view.size()};
    std::memcpy(memory.data(), view.data(), view.size());
    *this = std::move(memory).share(view.size());
  }

  shared_memory* memory_ = nullptr; // null: none, or somebody else's
  const char* data_ = nullptr;
  std::size_t size_ = 0;
};

inline shared_bytes fresh_bytes::share(std::size_t count) && {
  const std::string_view view{data(), count};
  return {std::exchange(block_, nullptr), view};
}

} // namespace ropewalk
