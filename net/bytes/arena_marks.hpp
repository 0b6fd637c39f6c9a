#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <utility>
#include <vector>

namespace ropewalk {

/// Has the free end of every arena of glibc's go back to the system. malloc_trim gives back holes,
/// but the end, which after a burst is most of it, of the first arena only; of the others it is cut
/// when something large is freed there and it is longer than M_TRIM_THRESHOLD (arena.c, heap_trim).
/// So each thread that takes memory for messages leaves a mark in its arena: something large, of
/// which no page but the first is ever there; and who wants the ends cut frees the marks. Threads
/// leave new ones when they take more.
class arena_marks {
public:
  /// Of the calling thread, unless there is one, or nobody will ever free it. Costs a look.
  static void leave() {
    if (mine_.round != round_.load(std::memory_order_relaxed)) [[unlikely]]
      leave_one();
  }

  /// Frees those of all threads; from the first time on they leave them.
  static void free_all() {
    const std::lock_guard lock{mutex_};
    for (auto* one : marks_) std::free(one);
    marks_.clear();
    round_.fetch_add(1, std::memory_order_relaxed);
  }

private:
  // More than glibc's FASTBIN_CONSOLIDATION_THRESHOLD, which says what is large.
  static constexpr std::size_t bytes = std::size_t{128} * 1024;

  static constexpr std::uint64_t at_its_end = ~std::uint64_t{0}; // the thread is

  struct own {
    std::uint64_t round = 0; // in which it was left; 0: nobody frees any
    void* mark = nullptr;
  };
  struct at_thread_end {
    ~at_thread_end() {
      const std::lock_guard lock{mutex_};
      const auto own = std::exchange(mine_, {at_its_end, nullptr});
      if (own.round != round_.load(std::memory_order_relaxed)) return; // it was freed
      std::erase(marks_, own.mark);
      std::free(own.mark);
    }
  };

  [[gnu::cold, gnu::noinline]] static void leave_one() {
    if (mine_.round == at_its_end) return;
    thread_local const at_thread_end last;
    (void)last;
    const std::lock_guard lock{mutex_};
    mine_ = {round_.load(std::memory_order_relaxed), std::malloc(bytes)};
    if (mine_.mark) marks_.push_back(mine_.mark);
  }

  static inline std::mutex mutex_;
  static inline std::vector<void*> marks_;
  static inline constinit std::atomic<std::uint64_t> round_{0};
  static constinit thread_local own mine_;
};

inline constinit thread_local arena_marks::own arena_marks::mine_{};

} // namespace ropewalk
