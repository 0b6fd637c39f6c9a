#include "actors/node/run_queue.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace ropewalk {

namespace {

// Below this mean run time the notice of an answer waits for others; a wake-up costs about as much.
constexpr double fast_us = 50;

// How long and for how many it waits at most.
constexpr microseconds max_hold{200};
constexpr std::uint32_t max_held = 512;

} // namespace

run_queue::run_queue(std::uint32_t slots, std::shared_ptr<const start_lease> lease, slots_are what)
    : lease_(std::move(lease)), slots_are_(what) {
  for (std::uint32_t i = 0; i < slots; ++i)
    seats_.push_back(std::make_shared<seat>(leader_id::nobody, i)); // until somebody takes it
  to_wake_.reserve(slots);
}

run_queue::slots_to_wake run_queue::push(shard_number shard, std::span<work_item> items,
                                         instant sent, instant now, leader_id leader) {
  const std::lock_guard lock{mutex_};
  for (auto& item : items) {
    const auto deadline = sent + milliseconds{item.remaining_ms};
    waiting_.emplace_back(std::move(item), deadline, shard);
  }
  if (wake_idle(slots_for(waiting_.size()), leader) > 0) last_progress_ = now;
  return to_wake_;
}

run_queue::slots_to_wake run_queue::rouse() {
  const std::lock_guard lock{mutex_};
  wake_idle(waiting_.size(), leader_id::nobody);
  return to_wake_;
}

// A slot that must be woken for less than that wake-up costs is left asleep: another is quicker.
std::size_t run_queue::slots_for(std::size_t messages) const {
  if (!fast() || messages == 0) return messages;
  return 1 + static_cast<std::size_t>(static_cast<double>(messages) * mean_.us() / fast_us);
}

// Puts who must be woken into to_wake_, and returns how many slots will look, the leader with them.
// An idle slot is woken once: it counts as busy from here on.
std::size_t run_queue::wake_idle(std::size_t wanted, leader_id leader) {
  to_wake_.clear();
  std::size_t looking = 0;
  if (leader >= leader_id::first_enlisted && wanted > 0)
    for (auto& s : seats_)
      if (s->me() == leader && std::exchange(s->idle, false)) ++looking;
  for (std::uint32_t i = 0; i < seats_.size() && looking < wanted; ++i)
    if (std::exchange(seats_[i]->idle, false)) {
      to_wake_.push_back(i);
      ++looking;
    }
  return looking;
}

std::shared_ptr<run_queue::seat> run_queue::take_seat(std::uint32_t slot, leader_id me) {
  const std::lock_guard lock{mutex_};
  auto fresh = std::make_shared<seat>(me, slot);
  auto& old = *seats_[slot];
  fresh->idle = old.idle;
  fresh->running = old.running; // what it took along is given up when the new one is announced
  fresh->forgotten = old.forgotten;
  fresh->runs = old.runs;
  old.given_up = true;
  old.stop.store(true);
  seats_[slot] = fresh;
  return fresh;
}

bool run_queue::has_place(const seat& me) const {
  const std::lock_guard lock{mutex_};
  return !me.given_up;
}

bool run_queue::next(seat& me, instant now, job& into) {
  const std::lock_guard lock{mutex_};
  return take_next(me, now, into);
}

bool run_queue::take_next(seat& me, instant now, job& into) {
  if (me.given_up) return false;
  if (waiting_.empty() || (lease_ && !lease_->allows(now))) {
    me.idle = true;
    return false;
  }
  auto& first = waiting_.front();
  me.runs = {first.shard, {first.item.token, first.item.fence}};
  me.since = now;
  into.item = std::move(first.item);
  into.deadline = first.deadline;
  into.stop = &me.stop;
  waiting_.pop_front();
  ++runs_.begun;
  me.idle = false;
  me.running = true;
  me.forgotten = false;
  me.stop.store(false, std::memory_order_relaxed);
  return true;
}

bool run_queue::finish(seat& me, const answer_item& answer, instant now) {
  note_failure(answer, now);
  const std::lock_guard lock{mutex_};
  return end_run(me, answer, now);
}

run_queue::after_run run_queue::finish_and_next(seat& me, const answer_item& answer, instant now,
                                                job& into) {
  note_failure(answer, now);
  const std::lock_guard lock{mutex_};
  const bool notify = end_run(me, answer, now);
  return {take_next(me, now, into), notify};
}

bool run_queue::end_run(seat& me, const answer_item& answer, instant now) {
  if (me.given_up) return false; // it was reported lost, and somebody else runs the message
  me.running = false;
  last_progress_ = now;
  mean_.add(answer.run_us);
  runs_.end(answer);
  const bool fast = slots_are_ == slots_are::threads && mean_.us() < fast_us;
  fast_.store(fast, std::memory_order_relaxed);
  if (me.forgotten) return false;
  answer_head head = answer;
  head.slot = static_cast<std::uint16_t>(me.slot_ + 1);
  answers_for(me.runs.shard).add(head, answer.payload);
  if (announced_) return false;
  if (unannounced_++ == 0) first_unannounced_ = now;
  const bool hold =
      fast && !waiting_.empty() && unannounced_ < max_held && now - first_unannounced_ < max_hold;
  if (hold) return false;
  announced_ = true;
  return true;
}

batch_builder& run_queue::answers_for(shard_number shard) {
  if (shard >= answers_.size()) answers_.resize(shard + 1u);
  return answers_[shard];
}

batch run_queue::take_answers(shard_number shard) {
  const std::lock_guard lock{mutex_};
  announced_ = false;
  unannounced_ = 0;
  return answers_for(shard).take();
}

std::vector<attempt_ref> run_queue::withdraw(shard_number shard,
                                             const std::vector<attempt_ref>& attempts) {
  std::unordered_map<std::uint64_t, std::uint32_t> unwanted; // tokens are the broker's to choose
  for (const auto& a : attempts) unwanted.emplace(a.token, a.fence);
  auto is_unwanted = [&](shard_number whose, std::uint64_t token, std::uint32_t fence) {
    const auto found = unwanted.find(token);
    return whose == shard && found != unwanted.end() && found->second == fence;
  };
  const std::lock_guard lock{mutex_};
  for (auto& s : seats_)
    if (s->running && is_unwanted(s->runs.shard, s->runs.attempt.token, s->runs.attempt.fence))
      s->stop.store(true);
  std::vector<attempt_ref> taken;
  waiting_.erase_if([&](const waiting_item& w) {
    if (!is_unwanted(w.shard, w.item.token, w.item.fence)) return false;
    taken.push_back({w.item.token, w.item.fence});
    return true;
  });
  return taken;
}

std::vector<run_queue::origin> run_queue::take_waiting() {
  const std::lock_guard lock{mutex_};
  std::vector<origin> result;
  for (const auto& w : waiting_) result.push_back({w.shard, {w.item.token, w.item.fence}});
  waiting_.clear();
  return result;
}

std::vector<run_queue::origin> run_queue::take_stalled(instant now, microseconds min_time) {
  {
    const std::lock_guard lock{mutex_};
    // Slots that are busy with what usually takes long are not held up.
    const auto usual = microseconds{
        static_cast<std::int64_t>(3 * mean_.us() / static_cast<double>(seats_.size()))};
    const auto time = std::max(min_time, usual);
    const bool all_busy =
        std::all_of(seats_.begin(), seats_.end(), [](const auto& l) { return !l->idle; });
    if (waiting_.empty() || !all_busy || now - last_progress_ < time) return {};
  }
  return take_waiting();
}

void run_queue::forget(shard_number shard) {
  const std::lock_guard lock{mutex_};
  waiting_.erase_if([shard](const waiting_item& w) { return w.shard == shard; });
  answers_for(shard).take();
  for (auto& s : seats_) {
    if (!s->running || s->runs.shard != shard) continue;
    s->forgotten = true;
    s->stop.store(true);
  }
}

// A token is one of its shard's.
std::optional<std::uint64_t> run_queue::message_in(std::uint32_t slot) const {
  const std::lock_guard lock{mutex_};
  const auto& s = *seats_[slot];
  if (!s.running) return std::nullopt;
  return s.runs.attempt.token + (std::uint64_t{s.runs.shard} << 24);
}

std::optional<instant> run_queue::unwanted_run(std::uint32_t slot) const {
  const std::lock_guard lock{mutex_};
  const auto& s = *seats_[slot];
  if (!s.running || !s.stop.load(std::memory_order_relaxed)) return std::nullopt;
  return s.since;
}

std::optional<run_queue::origin> run_queue::slot_died(std::uint32_t slot) {
  const std::lock_guard lock{mutex_};
  auto& s = *seats_[slot];
  s.idle = false;
  if (!std::exchange(s.running, false)) return std::nullopt;
  ++runs_.ended[static_cast<std::size_t>(run_end::crashed)];
  if (s.forgotten) return std::nullopt;
  return s.runs;
}

bool run_queue::slot_revived(std::uint32_t slot) {
  const std::lock_guard lock{mutex_};
  seats_[slot]->idle = waiting_.empty();
  return !waiting_.empty();
}

void run_queue::add_answer(shard_number shard, const answer_item& item) {
  const std::lock_guard lock{mutex_};
  if (item.end == item_end::returned) ++runs_.returned;
  answers_for(shard).add(item);
}

run_queue::counts run_queue::count() const {
  const std::lock_guard lock{mutex_};
  counts result;
  result.waiting = waiting_.size();
  for (const auto& s : seats_) result.running += s->running && !s->forgotten ? 1 : 0;
  return result;
}

run_queue::report run_queue::take_report() const {
  const std::lock_guard lock{mutex_};
  report result;
  result.runs = runs_;
  result.waiting = waiting_.size();
  for (const auto& w : waiting_) result.waiting_bytes += w.item.payload.size();
  for (const auto& s : seats_) result.busy += s->running ? 1 : 0;
  return result;
}

std::uint32_t run_queue::held_by_others(shard_number shard, instant now) const {
  const std::lock_guard lock{mutex_};
  return static_cast<std::uint32_t>(
      std::count_if(seats_.begin(), seats_.end(), [&](const std::shared_ptr<seat>& s) {
        return s->running && s->runs.shard != shard && now - s->since >= long_run;
      }));
}

bool run_queue::has_answers(shard_number shard) const {
  const std::lock_guard lock{mutex_};
  return shard < answers_.size() && !answers_[shard].empty();
}

} // namespace ropewalk
