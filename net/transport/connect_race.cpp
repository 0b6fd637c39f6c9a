#include "net/transport/connect_race.hpp"

namespace ropewalk {

connect_race::connect_race(const std::vector<int>& families) {
  std::vector<std::size_t> first; // of the family that the resolver prefers
  std::vector<std::size_t> other;
  for (std::size_t i = 0; i < families.size(); ++i)
    (families[i] == families[0] ? first : other).push_back(i);
  for (std::size_t i = 0; i < first.size() || i < other.size(); ++i) {
    if (i < first.size()) order_.push_back(first[i]);
    if (i < other.size()) order_.push_back(other[i]);
  }
}

std::optional<std::size_t> connect_race::next(time_point now) {
  if (tried_ == order_.size() || now < due_) return std::nullopt;
  due_ = now + attempt_delay;
  return order_[tried_++];
}

std::optional<connect_race::time_point> connect_race::due() const {
  if (tried_ == order_.size()) return std::nullopt;
  return due_;
}

} // namespace ropewalk
