#pragma once

#include "actors/dispatch/index_pool.hpp"
#include "actors/dispatch/keyed_hash.hpp"
#include "actors/dispatch/request.hpp"

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ropewalk {

/// Requests of one service with the same ordering key go one after the other, in the order in which
/// they came: the first of a lane goes its way, the others wait here until it has left. A request
/// that a node still runs has not left, even if nobody waits for its answer any more.
class key_lanes {
public:
  explicit key_lanes(const keyed_hash& hash) : lane_by_key_(0, {hash}) {}

  /// True if the request may go its way; else it waits here, in the stage behind_key.
  bool enter(request_table& all, std::uint32_t index, std::string_view key);

  /// The first of its lane is done with: the one that may go now, or no_index.
  std::uint32_t leave(request_table& all, std::uint32_t index);

  /// Takes out one that waits here.
  void remove(request_table& all, std::uint32_t index);

  /// Which request has the turn of this lane.
  [[nodiscard]] std::uint32_t holder(std::uint32_t lane) const { return lanes_[lane].holder; }

  /// How many wait here.
  [[nodiscard]] std::uint32_t waiting() const { return waiting_; }

  template <class F>
  void for_each_list(F&& f) const {
    for (const auto& l : lanes_) f(l.behind);
  }

private:
  using names = std::unordered_map<std::string, std::uint32_t, keyed_text_hash, std::equal_to<>>;

  struct lane {
    request_list behind;
    std::uint32_t holder = no_index;
    names::iterator name;
  };

  names lane_by_key_;
  std::vector<lane> lanes_;
  index_pool free_lanes_;
  std::uint32_t waiting_ = 0;
};

} // namespace ropewalk
