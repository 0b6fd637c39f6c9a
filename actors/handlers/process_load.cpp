#include "actors/handlers/process_load.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace ropewalk {

namespace {

// An id is how many have begun, and behind that where its entry is.
constexpr unsigned place_bits = 16;
constexpr std::uint64_t place_mask = (1u << place_bits) - 1;

} // namespace

std::uint64_t process_load::begin(const request& what, instant now) {
  assert(!exclusive_ && (!what.alone || running_ == 0));
  if (free_.empty()) {
    assert(entries_.size() <= place_mask);
    free_.push_back(static_cast<std::uint32_t>(entries_.size()));
    entries_.emplace_back();
  }
  const auto place = free_.back();
  free_.pop_back();
  auto& e = entries_[place];
  e.what = what;
  e.id = ++begun_ << place_bits | place;
  e.since = now;
  e.notified = false;
  ++running_;
  exclusive_ = what.alone;
  return e.id;
}

std::optional<process_load::ended> process_load::end(std::uint64_t id, instant now) {
  const auto place = static_cast<std::uint32_t>(id & place_mask);
  if (id == 0 || place >= entries_.size() || entries_[place].id != id) return std::nullopt;
  auto& e = entries_[place];
  e.id = 0;
  free_.push_back(place);
  --running_;
  exclusive_ = false;
  return ended{e.what.seat, std::chrono::duration_cast<microseconds>(now - e.since),
               e.notified ? e.notified_why : error_code::ok};
}

std::uint32_t process_load::seat_of(std::uint64_t id) const {
  return entries_[id & place_mask].what.seat;
}

std::vector<std::uint64_t> process_load::take_unwanted(instant now, milliseconds timeout) {
  std::vector<std::uint64_t> result;
  for (auto& e : entries_) {
    if (e.id == 0 || e.notified) continue;
    const bool late = now >= e.what.deadline;
    if (!late && !(e.what.stop && e.what.stop->load())) continue;
    e.notified = true;
    e.notified_why = late ? error_code::timeout : error_code::cancelled;
    e.answer_by = now + timeout;
    result.push_back(e.id);
  }
  return result;
}

bool process_load::is_overdue(instant now) const {
  return std::any_of(entries_.begin(), entries_.end(), [now](const entry& e) {
    return e.id != 0 && e.notified && now >= e.answer_by;
  });
}

template <class F>
std::vector<process_load::verdict> process_load::clear(instant now, F&& judge) {
  std::vector<verdict> result;
  for (auto& e : entries_) {
    if (e.id == 0) continue;
    verdict v{e.what.seat, item_end::crashed, error_code::ok,
              std::chrono::duration_cast<microseconds>(now - e.since)};
    if (e.id >> place_bits > said_)
      v.end = item_end::returned;
    else
      judge(e, v);
    result.push_back(v);
    end(e.id, now);
  }
  return result;
}

std::vector<process_load::verdict> process_load::died(instant now) {
  const bool several = std::count_if(entries_.begin(), entries_.end(), [this](const entry& e) {
                         return e.id != 0 && e.id >> place_bits <= said_;
                       }) > 1;
  return clear(now, [several](const entry&, verdict& v) {
    v.end = several ? item_end::suspect : item_end::crashed;
  });
}

std::vector<process_load::verdict> process_load::ended_overdue(instant now) {
  return clear(now, [now](const entry& e, verdict& v) {
    const bool overdue = e.notified && now >= e.answer_by;
    v.end = overdue ? item_end::answered : item_end::interrupted;
    v.code = overdue ? e.notified_why : error_code::ok;
  });
}

std::vector<process_load::verdict> process_load::ended_by_others(instant now) {
  return clear(now, [](const entry&, verdict& v) { v.end = item_end::interrupted; });
}

answer_item process_load::answer_for(const work_head& what, const verdict& how,
                                     std::string_view why) {
  answer_item answer;
  answer.token = what.token;
  answer.fence = what.fence;
  answer.end = how.end;
  answer.code = how.code;
  answer.run_us = static_cast<std::uint32_t>(how.run_time.count());
  if (how.end != item_end::answered) answer.payload = shared_bytes::copy_of(why);
  return answer;
}

} // namespace ropewalk
