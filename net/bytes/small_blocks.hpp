#pragma once

#include <array>
#include <cstddef>
#include <new>
#include <utility>

namespace ropewalk {

/// Memory blocks of up to `largest` bytes that come and go by the million, as small messages do:
/// what a thread gives back it takes again. glibc's own cache keeps seven blocks of a size; with
/// hundreds of messages in flight the rest goes the long way (8 % of a busy broker's time).
class small_blocks {
public:
  static constexpr std::size_t step = 64;                       ///< bytes; a cache line
  static constexpr std::size_t largest = std::size_t{4} * 1024; ///< bytes
  static constexpr std::size_t max_kept = std::size_t{4} << 20; ///< bytes a thread

  static void* take(std::size_t bytes) {
    if (!recycles || bytes > largest) return ::operator new(bytes);
    auto& cache = mine();
    const auto size = class_of(bytes);
    auto& first = cache.kept_[size];
    if (!first) return ::operator new(bytes_of(size));
    cache.kept_bytes_ -= bytes_of(size);
    return std::exchange(first, first->next);
  }

  /// Whichever thread took it.
  static void give(void* memory, std::size_t bytes) {
    auto& cache = mine();
    const auto size = class_of(bytes);
    if (!recycles || bytes > largest || cache.kept_bytes_ + bytes_of(size) > max_kept)
      return ::operator delete(memory);
    cache.kept_bytes_ += bytes_of(size);
    cache.kept_[size] = ::new (memory) block{cache.kept_[size]};
  }

  /// What the calling thread keeps.
  static std::size_t kept_bytes() { return mine().kept_bytes_; }

  small_blocks(const small_blocks&) = delete;
  small_blocks& operator=(const small_blocks&) = delete;

private:
  struct block {
    block* next;
  };
  small_blocks() = default;
  ~small_blocks() {
    for (auto& first : kept_)
      while (first) ::operator delete(std::exchange(first, first->next));
  }

  // A sanitizer sees who uses what was given back only if it is given back.
#ifdef __SANITIZE_ADDRESS__
  static constexpr bool recycles = false;
#else
  static constexpr bool recycles = true;
#endif

  static std::size_t class_of(std::size_t bytes) {
    return bytes == 0 ? 0 : (bytes - 1) / step;
  }
  static std::size_t bytes_of(std::size_t size) {
    return (size + 1) * step;
  }

  static small_blocks& mine() {
    thread_local small_blocks blocks;
    return blocks;
  }

  std::array<block*, largest / step> kept_{};
  std::size_t kept_bytes_ = 0;
};

} // namespace ropewalk
