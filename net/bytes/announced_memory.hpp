#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

namespace ropewalk {

/// Counts memory that was taken for what peers have announced and not sent yet, of all threads of
/// the process. Such memory takes no room before something is written to it, unless the heap held
/// something else there before; so beyond `allowance` its pages go back to the kernel first, and
/// who announces much and sends little takes nothing. (With less, a page is not given back to be
/// asked for again a moment later.)
class announced_memory {
public:
  /// In bytes: 32 of the largest messages.
  static constexpr std::size_t allowance = std::size_t{64} << 20;

  announced_memory() = default;

  /// Nobody has written to these bytes, whatever is in them.
  announced_memory(char* data, std::size_t bytes) : bytes_(bytes) {
    if (total_.fetch_add(bytes, std::memory_order_relaxed) + bytes > allowance)
      give_back(data, bytes);
  }
  announced_memory(announced_memory&& other) noexcept : bytes_(std::exchange(other.bytes_, 0)) {}
  announced_memory& operator=(announced_memory&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~announced_memory() { total_.fetch_sub(bytes_, std::memory_order_relaxed); }

private:
  static void give_back(char* data, std::size_t bytes) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto before = (page - reinterpret_cast<std::uintptr_t>(data) % page) % page;
    if (bytes >= before + page)
      ::madvise(data + before, (bytes - before) / page * page, MADV_DONTNEED);
  }

  static inline constinit std::atomic<std::size_t> total_{0};
  std::size_t bytes_ = 0;
};

} // namespace ropewalk
