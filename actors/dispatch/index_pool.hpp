#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ropewalk {

/// Which places of a table are free: records are known by their index, and the place of one that is
/// gone is given to another. The last one that was given back is the next: it is in the cache.
class index_pool {
public:
  /// A free place; the table grows by what `make` returns if there is none. The record in it is as
  /// it was left.
  template <class Record, class F>
  std::uint32_t take(std::vector<Record>& table, F&& make) {
    if (free_.empty()) {
      free_.push_back(static_cast<std::uint32_t>(table.size()));
      table.push_back(make());
    }
    const auto index = free_.back();
    free_.pop_back();
    return index;
  }

  template <class Record>
  std::uint32_t take(std::vector<Record>& table) {
    return take(table, [] { return Record{}; });
  }

  void give_back(std::uint32_t index) { free_.push_back(index); }

  [[nodiscard]] std::size_t size() const { return free_.size(); }

private:
  std::vector<std::uint32_t> free_;
};

} // namespace ropewalk
