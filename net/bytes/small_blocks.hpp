#pragma once

#include "net/bytes/arena_marks.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
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
    if (!recycles || bytes > largest) return fresh(bytes);
    const auto size = class_of(bytes);
    auto& first = mine_.kept[size];
    if (!first) return fresh(bytes_of(size));
    mine_.kept_bytes -= bytes_of(size);
    return std::exchange(first, first->next);
  }

  /// Whichever thread took it, and however near this one is to its end.
  static void give(void* memory, std::size_t bytes) {
    if (!recycles || bytes > largest) return ::operator delete(memory);
    const auto size = class_of(bytes);
    if (mine_.kept_bytes + bytes_of(size) > max_kept && !begins_to_keep())
      return ::operator delete(memory);
    mine_.kept_bytes += bytes_of(size);
    mine_.kept[size] = ::new (memory) block{mine_.kept[size]};
  }

  /// What the calling thread keeps.
  static std::size_t kept_bytes() { return mine_.now == phase::keeping ? mine_.kept_bytes : 0; }

private:
  struct block {
    block* next;
  };

  // (Inlined it makes who finds a block 10 instructions slower.)
  [[gnu::noinline]] static void* fresh(std::size_t bytes) {
    arena_marks::leave();
    return ::operator new(bytes);
  }

  enum class phase : std::uint8_t { untouched, keeping, over };

  // Memory of the thread as long as it runs, whatever of its own is destroyed when: what is given
  // back after `at_thread_end` finds no room. There is none before the first block either, so that
  // only who finds none has to ask why.
  struct pool {
    std::array<block*, largest / step> kept{};
    std::size_t kept_bytes = max_kept;
    phase now = phase::untouched;
  };
  struct at_thread_end {
    ~at_thread_end() {
      for (auto& first : mine_.kept)
        while (first) ::operator delete(std::exchange(first, first->next));
      mine_.kept_bytes = max_kept;
      mine_.now = phase::over;
    }
  };

  // True if there was no room because nothing was kept yet.
  [[gnu::cold, gnu::noinline]] static bool begins_to_keep() {
    if (mine_.now != phase::untouched) return false;
    thread_local const at_thread_end last;
    (void)last;
    mine_.now = phase::keeping;
    mine_.kept_bytes = 0;
    return true;
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

  static constinit thread_local pool mine_;
};

inline constinit thread_local small_blocks::pool small_blocks::mine_{};

} // namespace ropewalk
