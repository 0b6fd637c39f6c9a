#pragma once

#include "actors/time/instant.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace ropewalk {

/// Deadlines of many requests, each known by a small number: putting one in, taking it out and
/// letting time pass cost the same however many there are. A hierarchy of wheels (Varghese and
/// Lauck, 1987): 256 slots of 10 ms, then 64 of 2.56 s, then 64 of 164 s; what lies beyond 2.9
/// hours waits in the last slot and is put in anew from there. A deadline is reported at the first
/// `advance` that is no earlier than it, up to one tick late, never early.
class deadline_wheel {
public:
  static constexpr milliseconds tick{10};

  explicit deadline_wheel(instant start) : start_(start) { heads_.fill(none); }

  /// `entry` must not be in the wheel. `now` is only kept.
  void insert(std::uint32_t entry, instant deadline, instant now);

  /// When it was put in; of one that is in the wheel, or was the last time. (A request's time of
  /// arrival stands here because its own record is full, and this line is touched anyway.)
  [[nodiscard]] instant inserted(std::uint32_t entry) const { return links_[entry].inserted; }

  /// When it was placed last, since it was put in: what `set_placed` said of it, which is not called
  /// of one that was placed as it came. After a little over an hour, just that.
  void set_placed(std::uint32_t entry, instant now) {
    const auto since = std::chrono::duration_cast<microseconds>(now - links_[entry].inserted);
    constexpr microseconds::rep max = 0xffffffff;
    links_[entry].placed_us = static_cast<std::uint32_t>(since.count() < max ? since.count() : max);
  }
  [[nodiscard]] microseconds placed(std::uint32_t entry) const {
    return microseconds{links_[entry].placed_us};
  }

  /// Does nothing if `entry` is not in the wheel.
  void erase(std::uint32_t entry);

  /// Takes out entries whose deadline is `now` or earlier, and appends them to `expired`: all, or
  /// `max` of them. True: there are more, for the next call.
  bool advance(instant now, std::vector<std::uint32_t>& expired, std::uint64_t max);

  [[nodiscard]] bool empty() const { return size_ == 0; }

  /// Gives back the memory that many entries took. It must be empty.
  void release_memory() { links_ = std::vector<link>{}; }
  [[nodiscard]] std::size_t size() const { return size_; }

private:
  static constexpr std::uint32_t none = 0xffffffff;
  static constexpr std::uint64_t near_slots = 256;
  static constexpr std::uint64_t far_slots = 64;
  static constexpr std::uint64_t all_slots = near_slots + 2 * far_slots;

  struct link {
    std::uint64_t due = 0; // tick
    instant inserted{};
    std::uint32_t next = none;
    std::uint32_t previous = none;
    std::uint32_t slot = none; // none: not in the wheel
    std::uint32_t placed_us = 0;
  };

  static std::uint32_t near_slot(std::uint64_t due);
  static std::uint32_t far_slot(std::uint64_t due);
  static std::uint32_t farthest_slot(std::uint64_t due);
  void place(std::uint32_t entry);
  std::uint32_t take_slot(std::uint32_t slot);
  void cascade(std::uint32_t slot);

  instant start_;
  std::uint64_t now_ = 0; // every tick before this one is done
  std::size_t size_ = 0;
  std::array<std::uint32_t, all_slots> heads_{};
  std::vector<link> links_;
};

} // namespace ropewalk
