#pragma once

#include "actors/dispatch/keyed_hash.hpp"
#include "actors/dispatch/request.hpp"

#include <bit>
#include <utility>
#include <vector>

namespace ropewalk {

/// Finds a request by its connection and the id that its client gave it. Open addressing with
/// linear probing: nothing is allocated while the number of requests stays within what it was. A
/// place knows its request's hash, so that no other request is looked at on the way to one. Ids are
/// chosen by clients: the hash is a secret one, or some would choose those that share a place.
class id_table {
public:
  explicit id_table(const keyed_hash& hash) : hash_(hash) {}

  /// What `find` wants, and a request keeps (request::id_hash).
  [[nodiscard]] std::uint32_t hash_of(connection_index connection, std::uint64_t id) const {
    return static_cast<std::uint32_t>(hash_(id, connection) >> 32);
  }

  /// no_index if there is none.
  [[nodiscard]] std::uint32_t find(const request_table& all, connection_index connection,
                                   std::uint64_t id, std::uint32_t hash) const {
    if (size_ == 0) return no_index;
    for (auto at = home(hash); places_[at].index != no_index; at = after(at)) {
      if (places_[at].hash != hash) continue;
      const auto& r = all[places_[at].index];
      if (r.client_id == id && r.connection == connection) return places_[at].index;
    }
    return no_index;
  }

  /// Its connection and id must not be in the table.
  void insert(const request_table& all, std::uint32_t index) {
    if (2 * (size_ + 1) > places_.size()) grow();
    put({index, all[index].id_hash});
    ++size_;
  }

  /// It must be in the table.
  void erase(const request_table& all, std::uint32_t index) {
    auto hole = home(all[index].id_hash);
    while (places_[hole].index != index) hole = after(hole);
    // Those behind it that are not where they would be move up.
    for (auto at = after(hole); places_[at].index != no_index; at = after(at)) {
      const auto want = home(places_[at].hash);
      const bool between = hole <= at ? hole < want && want <= at : hole < want || want <= at;
      if (between) continue;
      places_[hole] = places_[at];
      hole = at;
    }
    places_[hole].index = no_index;
    --size_;
  }

  [[nodiscard]] std::size_t size() const { return size_; }

  /// Gives back the memory that many requests took. It must be empty.
  void release_memory() { places_ = std::vector<place>{}; }

private:
  struct place {
    std::uint32_t index = no_index;
    std::uint32_t hash = 0;
  };

  [[nodiscard]] std::size_t home(std::uint32_t hash) const { return hash >> shift_; }
  [[nodiscard]] std::size_t after(std::size_t at) const { return (at + 1) & (places_.size() - 1); }

  void put(place what) {
    auto at = home(what.hash);
    while (places_[at].index != no_index) at = after(at);
    places_[at] = what;
  }

  void grow() {
    const auto old =
        std::exchange(places_, std::vector<place>(places_.empty() ? 64 : 2 * places_.size()));
    shift_ = 32 - static_cast<unsigned>(std::countr_zero(places_.size()));
    for (const auto& one : old)
      if (one.index != no_index) put(one);
  }

  keyed_hash hash_;
  std::vector<place> places_; // a power of two of them
  unsigned shift_ = 0;        // 32 less that power
  std::size_t size_ = 0;
};

} // namespace ropewalk
