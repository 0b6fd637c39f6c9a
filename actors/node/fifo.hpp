#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace ropewalk {

/// First in, first out, in memory that stays for the next: std::deque asks for some and gives it
/// back for every few elements that pass through.
template <class T>
class fifo {
public:
  [[nodiscard]] bool empty() const { return first_ == all_.size(); }
  [[nodiscard]] std::size_t size() const { return all_.size() - first_; }
  [[nodiscard]] T& front() { return all_[first_]; }
  [[nodiscard]] auto begin() const { return all_.begin() + static_cast<std::ptrdiff_t>(first_); }
  [[nodiscard]] auto end() const { return all_.end(); }

  template <class... Values>
  void emplace_back(Values&&... values) {
    all_.push_back(T{std::forward<Values>(values)...});
  }

  /// What was in front should have been moved away.
  void pop_front() {
    if (++first_ == all_.size()) return clear();
    if (first_ < max_gone || first_ < all_.size() / 2) return;
    all_.erase(all_.begin(), all_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }

  void clear() {
    all_.clear();
    first_ = 0;
  }

  template <class Predicate>
  void erase_if(Predicate unwanted) {
    const auto from = all_.begin() + static_cast<std::ptrdiff_t>(first_);
    all_.erase(std::remove_if(from, all_.end(), unwanted), all_.end());
    if (empty()) clear();
  }

private:
  static constexpr std::size_t max_gone = 1024; // elements that are over and still take room

  std::vector<T> all_;
  std::size_t first_ = 0; // before it: what has been taken out
};

} // namespace ropewalk
