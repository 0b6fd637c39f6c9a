#include "actors/dispatch/service_queue.hpp"

#include <algorithm>
#include <cassert>

namespace ropewalk {

namespace {

// The reciprocal of the shares 1 : 4 : 16.
constexpr std::array<std::uint64_t, priorities> strides{16, 4, 1};

} // namespace

std::uint32_t service_queue::open_flow(ropewalk::priority at) {
  const auto result = free_flows_.take(flows_);
  flows_[result] = flow{};
  flows_[result].at = at;
  return result;
}

void service_queue::close_flow(std::uint32_t which) {
  assert(flows_[which].waiting.empty());
  free_flows_.give_back(which);
}

void service_queue::retire_flow(std::uint32_t which) {
  auto& f = flows_[which];
  f.retired = true;
  if (f.waiting.empty()) return;
  leave_ring(which);
  retired_ += f.waiting.size();
}

// The newcomer's turn is after all others'.
void service_queue::enter_ring(std::uint32_t which) {
  auto& f = flows_[which];
  auto& l = levels_[static_cast<std::size_t>(f.at)];
  if (l.turn == no_index) {
    f.next = f.previous = which;
    l.turn = which;
    l.pass = std::max(l.pass, pass_); // no credit for the time in which nothing waited
    return;
  }
  f.next = l.turn;
  f.previous = flows_[l.turn].previous;
  flows_[f.previous].next = which;
  flows_[f.next].previous = which;
}

void service_queue::leave_ring(std::uint32_t which) {
  const auto& f = flows_[which];
  auto& l = levels_[static_cast<std::size_t>(f.at)];
  if (f.next == which) {
    l.turn = no_index;
    return;
  }
  flows_[f.previous].next = f.next;
  flows_[f.next].previous = f.previous;
  if (l.turn == which) l.turn = f.next;
}

void service_queue::add(request_table& all, std::uint32_t index, std::uint32_t to) {
  all[index].stage = stage::fresh;
  all[index].flow = to;
  auto& f = flows_[to];
  if (f.retired) [[unlikely]]
    ++retired_;
  else if (f.waiting.empty())
    enter_ring(to);
  f.waiting.push_back(all, index);
  ++size_;
}

void service_queue::add_returned(request_table& all, std::uint32_t index) {
  all[index].stage = stage::returned;
  returned_.push_front(all, index);
  ++size_;
}

void service_queue::add_retry(request_table& all, std::uint32_t index) {
  all[index].stage = stage::retry;
  retries_.push_back(all, index);
  ++size_;
}

void service_queue::remove(request_table& all, std::uint32_t index) {
  --size_;
  switch (all[index].stage) {
  case stage::returned:
    return returned_.remove(all, index);
  case stage::retry:
    return retries_.remove(all, index);
  default: {
    assert(all[index].stage == stage::fresh);
    const auto which = all[index].flow;
    flows_[which].waiting.remove(all, index);
    if (flows_[which].retired) [[unlikely]]
      --retired_;
    else if (flows_[which].waiting.empty())
      leave_ring(which);
  }
  }
}

service_queue::level* service_queue::next_level() {
  level* best = nullptr;
  for (auto i = priorities; i-- > 0;) {
    auto& l = levels_[i];
    if (l.turn != no_index && (!best || l.pass < best->pass)) best = &l;
  }
  return best;
}

std::uint32_t service_queue::take(request_table& all, instant now) {
  auto index = !retries_.empty() && budget_.spend(now) ? retries_.head() : returned_.head();
  if (index == no_index) {
    auto* l = next_level();
    if (!l) return no_index;
    pass_ = l->pass;
    auto& f = flows_[l->turn];
    l->pass += strides[static_cast<std::size_t>(f.at)];
    index = f.waiting.head();
    l->turn = f.next;
  }
  remove(all, index);
  return index;
}

std::uint32_t service_queue::any() const {
  if (!returned_.empty()) return returned_.head();
  if (!retries_.empty()) return retries_.head();
  for (const auto& l : levels_)
    if (l.turn != no_index) return flows_[l.turn].waiting.head();
  return no_index;
}

namespace {

std::uint32_t earlier_in_list(const request_table& all, std::uint32_t index) {
  std::uint32_t result = 0;
  for (auto i = all[index].previous; i != no_index && result < service_queue::max_walk;
       i = all[i].previous)
    ++result;
  return result;
}

} // namespace

std::uint32_t service_queue::before(const request_table& all, std::uint32_t index) const {
  const auto own = earlier_in_list(all, index);
  if (all[index].stage == stage::retry) return own;
  if (all[index].stage == stage::returned) return retries_.size() + own;
  std::uint64_t result = returned_.size() + retries_.size() + own;
  const auto mine = all[index].flow;
  const auto my_stride = strides[static_cast<std::size_t>(flows_[mine].at)];
  for (std::uint32_t other = 0; other < flows_.size(); ++other) {
    if (other == mine) continue;
    const auto turns = (own + 1) * my_stride / strides[static_cast<std::size_t>(flows_[other].at)];
    result += std::min<std::uint64_t>(flows_[other].waiting.size(), turns);
  }
  return static_cast<std::uint32_t>(result);
}

} // namespace ropewalk
