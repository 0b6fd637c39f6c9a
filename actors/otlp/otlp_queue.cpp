#include "actors/otlp/otlp_queue.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ropewalk {

void otlp_queue::push(message_report&& what, instant now) {
  const auto bytes = what.memory();
  if (bytes_ + bytes > max_bytes) {
    ++counts_.dropped;
    return;
  }
  if (waiting_.empty()) first_ = now;
  bytes_ += bytes;
  waiting_.push_back(std::move(what));
}

std::optional<instant> otlp_queue::due() const {
  if (!batch_.empty()) return next_try_;
  if (waiting_.empty()) return std::nullopt;
  const bool waits = waiting_.size() < max_batch && !hurried_;
  return std::max(next_try_, waits ? first_ + batch_interval : instant{});
}

const std::vector<message_report>* otlp_queue::begin(instant now) {
  const auto when = due();
  if (!when || now < *when) return nullptr;
  if (batch_.empty()) {
    const auto count = std::min(waiting_.size(), max_batch);
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
    batch_.assign(std::make_move_iterator(waiting_.begin()), std::make_move_iterator(end));
    waiting_.erase(waiting_.begin(), end);
    first_ = now;
    begun_ = now;
  }
  return &batch_;
}

void otlp_queue::delivered(std::uint64_t refused) {
  const auto lost = std::min<std::uint64_t>(refused, batch_.size());
  counts_.exported += batch_.size() - lost;
  counts_.dropped += lost;
  for (const auto& one : batch_) bytes_ -= one.memory();
  batch_.clear();
  pause_ = first_pause;
  next_try_ = {};
}

void otlp_queue::refused() {
  delivered(batch_.size());
}

void otlp_queue::failed(instant now, std::optional<milliseconds> after) {
  const bool given_up = now - begun_ >= give_up_after;
  const auto pause = std::max(after.value_or(milliseconds{0}), pause_);
  const auto next_pause = std::min(2 * pause_, longest_pause);
  if (given_up) refused();
  pause_ = next_pause;
  next_try_ = now + std::min(pause, give_up_after);
}

} // namespace ropewalk
