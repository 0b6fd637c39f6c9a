#pragma once

#include "actors/dispatch/request.hpp"

#include <utility>
#include <vector>

namespace ropewalk {

/// Finds a request by its connection and the id that its client gave it. Open addressing with
/// linear probing: nothing is allocated while the number of requests stays within what it was.
class id_table {
public:
  /// no_index if there is none.
  [[nodiscard]] std::uint32_t find(const request_table& all, connection_index connection,
                                   std::uint64_t id) const {
    if (size_ == 0) return no_index;
    for (auto at = home(connection, id); slots_[at] != no_index; at = after(at)) {
      const auto& r = all[slots_[at]];
      if (r.client_id == id && r.connection == connection) return slots_[at];
    }
    return no_index;
  }

  /// Its connection and id must not be in the table.
  void insert(const request_table& all, std::uint32_t index) {
    if (2 * (size_ + 1) > slots_.size()) grow(all);
    auto at = home(all[index].connection, all[index].client_id);
    while (slots_[at] != no_index) at = after(at);
    slots_[at] = index;
    ++size_;
  }

  /// It must be in the table.
  void erase(const request_table& all, std::uint32_t index) {
    auto hole = home(all[index].connection, all[index].client_id);
    while (slots_[hole] != index) hole = after(hole);
    // Those behind it that are not where they would be move up.
    for (auto at = after(hole); slots_[at] != no_index; at = after(at)) {
      const auto& r = all[slots_[at]];
      const auto want = home(r.connection, r.client_id);
      const bool between = hole <= at ? hole < want && want <= at : hole < want || want <= at;
      if (between) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole] = no_index;
    --size_;
  }

  [[nodiscard]] std::size_t size() const { return size_; }

private:
  [[nodiscard]] std::size_t home(connection_index connection, std::uint64_t id) const {
    const auto mixed = (id ^ std::uint64_t{connection} * 0xc2b2ae3d27d4eb4f) * 0x9e3779b97f4a7c15;
    return (mixed ^ mixed >> 32) & (slots_.size() - 1);
  }
  [[nodiscard]] std::size_t after(std::size_t at) const { return (at + 1) & (slots_.size() - 1); }

  void grow(const request_table& all) {
    const auto old = std::exchange(
        slots_, std::vector<std::uint32_t>(slots_.empty() ? 64 : 2 * slots_.size(), no_index));
    size_ = 0;
    for (const auto index : old)
      if (index != no_index) insert(all, index);
  }

  std::vector<std::uint32_t> slots_; // a power of two of them
  std::size_t size_ = 0;
};

} // namespace ropewalk
