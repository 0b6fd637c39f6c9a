#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <utility>

namespace ropewalk {

/// Lines of a log between who says them and who writes them: at most so many bytes. What finds no
/// room is dropped and counted, and the count stands where the lines would have stood. Pure, and
/// for one thread at a time.
class log_queue {
public:
  /// A line, or, where `dropped` is not 0, how many lines are missing here.
  struct entry {
    std::string line;
    std::uint64_t dropped = 0;
  };

  explicit log_queue(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  void push(std::string line) {
    if (line.size() <= max_bytes_ - bytes_) {
      bytes_ += line.size();
      entries_.push_back({std::move(line), 0});
      return;
    }
    if (entries_.empty() || entries_.back().dropped == 0) entries_.emplace_back();
    ++entries_.back().dropped;
  }

  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  /// The oldest; there must be one.
  entry pop() {
    auto oldest = std::move(entries_.front());
    entries_.pop_front();
    bytes_ -= oldest.line.size();
    return oldest;
  }

private:
  const std::size_t max_bytes_;
  std::size_t bytes_ = 0;
  std::deque<entry> entries_; // no two counts stand side by side: bounded by the lines
};

} // namespace ropewalk
