#include "actors/dispatch/message_history.hpp"

#include <utility>

namespace ropewalk {

namespace {

// What one attempt takes of the memory for the past, with its part of the table.
constexpr std::uint64_t past_cost = sizeof(attempt_report) + 64;

} // namespace

// -- rings ------------------------------------------------------------------------------------------

std::uint64_t message_ring::push(message_report&& what) {
  bytes_ += what.memory();
  kept_.push_back(std::move(what));
  while (bytes_ > max_bytes_ && !kept_.empty()) {
    bytes_ -= kept_.front().memory();
    kept_.pop_front();
    ++first_;
  }
  return first_ + kept_.size() - 1;
}

std::optional<message_report> message_ring::take(std::uint64_t number) {
  if (number < first_ || number - first_ >= kept_.size()) return std::nullopt;
  auto& one = kept_[number - first_];
  bytes_ -= one.memory();
  auto result = std::exchange(one, message_report{});
  bytes_ += one.memory();
  return result;
}

// -- what is notable ----------------------------------------------------------------------------------

void notable_times::advance(instant now) {
  if (!keeps_) return;
  if (minute_since_ == instant{}) minute_since_ = sampled_ = now;
  if (now - minute_since_ >= minute) {
    minute_since_ = now;
    count_ = 0;
  }
  if (now - sampled_ >= sample_interval) {
    sampled_ = now;
    threshold_ = std::chrono::nanoseconds{0};
  }
}

std::optional<std::uint64_t> notable_times::add_slow(std::chrono::nanoseconds took,
                                                     std::uint64_t number) {
  const auto slower = [](const entry& a, const entry& b) { return a.took > b.took; };
  std::optional<std::uint64_t> replaced;
  if (count_ == slowest_a_minute) {
    replaced = slowest_.front().number;
    std::pop_heap(slowest_.begin(), slowest_.end(), slower);
    --count_;
  }
  slowest_[count_++] = {took, number};
  std::push_heap(slowest_.begin(), slowest_.begin() + static_cast<std::ptrdiff_t>(count_), slower);
  return replaced;
}

void notable_times::taken() {
  threshold_ = std::chrono::nanoseconds{0};
  if (count_ == slowest_a_minute) threshold_ = slowest_.front().took + std::chrono::nanoseconds{1};
}

// -- names ------------------------------------------------------------------------------------------

void message_history::name_node(node_number node, std::string_view name) {
  nodes_.insert_or_assign(node, std::make_shared<const std::string>(name));
}

shared_text message_history::name_of(node_number node) const {
  const auto found = nodes_.find(node);
  return found == nodes_.end() ? nullptr : found->second;
}

shared_text message_history::text(std::string_view what) {
  if (what.empty()) return nullptr;
  const auto cut = what.substr(0, max_text_bytes);
  if (!last_text_ || *last_text_ != cut) last_text_ = std::make_shared<const std::string>(cut);
  return last_text_;
}

// -- messages under way -------------------------------------------------------------------------------

void message_history::add_past(std::uint32_t index, attempt_report&& what) {
  const bool room = past_bytes_ + past_cost <= max_past_bytes_;
  const auto found = room ? pasts_.try_emplace(index).first : pasts_.find(index);
  if (found == pasts_.end()) return;
  auto& past = found->second;
  if (!room || past.attempts.size() == max_attempts) { // the first says how it began
    if (past.attempts.size() > 1)
      past.attempts.erase(past.attempts.begin() + 1);
    else
      past.attempts.pop_back();
    past_bytes_ -= past_cost;
    ++past.left_out;
  }
  past.attempts.push_back(std::move(what));
  past_bytes_ += past_cost;
}

const message_history::past* message_history::past_of(std::uint32_t index) const {
  const auto found = pasts_.find(index);
  return found == pasts_.end() ? nullptr : &found->second;
}

message_history::past message_history::take_past(std::uint32_t index) {
  const auto found = pasts_.find(index);
  if (found == pasts_.end()) return {};
  auto result = std::move(found->second);
  past_bytes_ -= past_cost * result.attempts.size();
  pasts_.erase(found);
  return result;
}

// -- messages that have ended -------------------------------------------------------------------------

void message_history::keep_failed(message_report&& what) {
  what.kept = kept_for::failure;
  failed_.push(std::move(what));
}

bool message_history::keeps_refusal(instant now) {
  if (!may_keep_refusal(now)) return false;
  if (now - second_ >= std::chrono::seconds{1}) {
    second_ = now;
    refusals_ = 0;
  }
  ++refusals_;
  return true;
}

void message_history::keep_answered(message_report&& what, notable_times& times) {
  if (!times.is_slow(what.took)) {
    keep_sample(std::move(what));
    return times.taken();
  }
  const auto took = what.took;
  what.kept = kept_for::slowness;
  const auto number = slow_.push(std::move(what));
  if (const auto replaced = times.add_slow(took, number)) {
    auto faster = slow_.take(*replaced);
    if (faster && faster->trace && faster->trace->sampled()) keep_sample(*std::move(faster));
  }
  times.taken();
}

void message_history::keep_sample(message_report&& what) {
  what.kept = kept_for::sample;
  sampled_.push(std::move(what));
}

} // namespace ropewalk
