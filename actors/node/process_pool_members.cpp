#include "actors/node/process_pool.hpp"

#include "net/cluster/shared_loop.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <iterator>
#include <spdlog/spdlog.h>

// How the processes of a pool come and go; how messages pass through them: process_pool.cpp.
namespace ropewalk {

namespace {

// What a program said at its end may have several lines.
std::string why_in_a_line(const handler_process::ending& how) {
  std::string result;
  for (std::string_view rest = how.why; !rest.empty();) {
    const auto end = std::min(rest.find('\n'), rest.size());
    if (end > 0) result += (result.empty() ? "" : " / ") + one_line(rest.substr(0, end), end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return result;
}

// How often age and memory are, where there are limits to them. What takes a gigabyte a second has
// half a gigabyte more by then.
constexpr milliseconds beat_interval{500};

// How long who asks for a report waits for what the processes' memory is said to be.
constexpr milliseconds measure_time{20};

// Processes of one member that come to their end while the next one is started.
constexpr std::size_t max_ending = 4;

} // namespace

std::unique_ptr<handler_process> process_pool::make_process(std::uint32_t number) {
  handler_process::owner& me = *this;
  auto with = settings_.process;
  with.number = number;
  return std::make_unique<handler_process>(std::move(with), polls_, me, buffer_.get());
}

// -- processes ----------------------------------------------------------------------------------------

void process_pool::on_ready(handler_process& which, std::uint32_t concurrency) {
  auto& m = of(which);
  m.pause.reset();
  if (which.is_fork_server()) return fork_from(which);
  start_others(clock_now());
  std::vector<slot_number> slots;
  for (auto slot = which.what().number; slot < settings_.slots && slots.size() < concurrency;
       slot += static_cast<slot_number>(members_.size()))
    slots.push_back(slot);
  spdlog::info("service {}: {} is ready, for {} at a time", settings_.process.service,
               which.what().name(), slots.size());
  count_ready(which.what().number);
  if (&which == m.next.get()) swap_in(m);
  offer(m, std::move(slots));
  go_on(m, clock_now());
}

void process_pool::count_ready(std::uint32_t number) {
  if (number >= were_ready_.size()) return;
  were_ready_[number] = true;
  if (!std::all_of(were_ready_.begin(), were_ready_.end(), [](bool ready) { return ready; }))
    return;
  were_ready_.clear();
  send(node_, ready_atom_v, settings_.service);
}

// Says what has changed. What is not offered any more and still runs with the old process is closed
// when that is over.
void process_pool::offer(member& m, std::vector<slot_number> slots) {
  std::vector<slot_number> more;
  std::vector<slot_number> fewer;
  for (const auto slot : slots)
    if (places_[slot].is == slot_is::closed) more.push_back(slot);
  std::set_difference(m.offered.begin(), m.offered.end(), slots.begin(), slots.end(),
                      std::back_inserter(fewer));
  std::erase_if(fewer, [this](slot_number slot) {
    return places_[slot].is == slot_is::running || places_[slot].is == slot_is::parked;
  });
  m.offered = std::move(slots);
  if (!fewer.empty()) close(m, fewer, 0);
  if (!more.empty()) open(m, more);
}

// The queue is asked and told at once, the gateway by a message: what crosses it finds the slot's
// state here.
void process_pool::open(member& m, const std::vector<slot_number>& slots) {
  for (const auto slot : slots) {
    places_[slot].is = slot_is::idle;
    if (queue_->slot_revived(slot)) hold(m, slot); // there is work for it
  }
  send(gateway_, slot_up_atom_v, settings_.service, slots, caf::actor{this});
}

// None of them has a message.
void process_pool::close(member& m, const std::vector<slot_number>& slots, std::uint32_t restarts) {
  for (const auto slot : slots) {
    places_[slot].is = slot_is::closed;
    queue_->slot_died(slot);
  }
  std::erase_if(m.held, [this](slot_number slot) { return places_[slot].is == slot_is::closed; });
  send(gateway_, slot_down_atom_v, settings_.service, slots, restarts);
}

// -- one in place of another --------------------------------------------------------------------------

void process_pool::replace(member& m) {
  if (std::exchange(m.replaces, true) || draining_) return;
  if (m.process->is_down() && m.start_at) return; // a fresh one comes anyway
  m.start_at = clock_now();
  start_due(m, *m.start_at);
}

void process_pool::replace_all() {
  for (auto& m : members_) {
    if (!m.wanted) continue;
    m.replaces_again = m.next && !m.next->is_down(); // that one may be older than the wish
    replace(m);
  }
}

// The next one is ready: what is free is its own, what runs comes to its end with the old one.
void process_pool::swap_in(member& m) {
  ++recycles_;
  m.replaces = false;
  m.start_at.reset();
  auto before = std::exchange(m.process, std::move(m.next));
  if (before->is_down())
    gone_.push_back(std::move(before));
  else
    m.old = std::move(before); // there was none: one is replaced after the other
  if (m.old) end_old(m, clock_now());
  if (std::exchange(m.replaces_again, false)) replace(m);
}

void process_pool::end_old(member& m, instant now) {
  if (m.old->load().running() > 0) return;
  m.old->stop(now);
  m.ending.push_back(std::move(m.old));
}

std::vector<handler_process*> process_pool::all_of(const member& m) {
  std::vector<handler_process*> result;
  for (auto* p : {m.process.get(), m.next.get(), m.old.get()})
    if (p) result.push_back(p);
  for (const auto& p : m.ending) result.push_back(p.get());
  return result;
}

// What is due of starts: of the process, or of the one that is to take its place.
void process_pool::start_due(member& m, instant now) {
  if (!m.start_at || now < *m.start_at || draining_) return;
  if (!may_start(m, now)) return;
  if (m.next && !m.next->is_down()) return m.start_at.reset(); // it comes in any case
  if (m.old || m.ending.size() >= max_ending) return;          // one after the other
  m.start_at.reset();
  if (m.process->is_down()) {
    m.replaces = m.replaces_again = false;
    return start(*m.process, now);
  }
  if (!m.next) m.next = make_process(m.process->what().number);
  start(*m.next, now);
}

// Nothing is offered for a process that is down, but for what still runs with the old one.
void process_pool::close_all(member& m, std::uint32_t restarts, instant now) {
  if (m.parked) unpark(m, item_end::returned, error_code::ok, now);
  auto slots = std::exchange(m.offered, {});
  std::erase_if(slots, [this](slot_number slot) {
    return places_[slot].is == slot_is::running || places_[slot].is == slot_is::closed;
  });
  close(m, slots, restarts);
}

void process_pool::on_down(handler_process& which, handler_process::ending&& how) {
  auto& m = of(which);
  const auto now = clock_now();
  touch(m);
  answer_for(how.runs, "its process is gone: " + how.why, now);
  for (const auto& v : how.runs) places_[v.seat].is = slot_is::held; // and closed, or filled, below
  if (&which == m.process.get()) {
    const bool next_comes = how.wanted && m.next && !m.next->is_down(); // for what is offered
    if (!next_comes) close_all(m, how.was_ready && !how.wanted ? 1 : 0, now);
    if (!draining_) schedule_start(m, how);
  } else if (&which == m.next.get()) {
    if (m.process->is_down() || is_spent(m)) close_all(m, 0, now);
    if (how.wanted && !draining_)
      m.start_at = now;
    else if (!draining_)
      try_start_again(m, how);
  } else if (&which == m.old.get()) {
    gone_.push_back(std::move(m.old));
    for (const auto& v : how.runs) fill(m, v.seat, now);
    start_due(m, now);
  } else {
    const auto is_it = [&](const auto& p) { return p.get() == &which; };
    const auto found = std::find_if(m.ending.begin(), m.ending.end(), is_it);
    gone_.push_back(std::move(*found));
    m.ending.erase(found);
    start_due(m, now);
  }
  if (draining_) tell_drained();
}

void process_pool::answer_for(const std::vector<process_load::verdict>& runs,
                              const std::string& why, instant now) {
  for (const auto& v : runs) {
    auto answer = process_load::answer_for(places_[v.seat].runs, v, why);
    explain_end(places_[v.seat], answer);
    end(v.seat, answer, now);
  }
}

// Nothing was offered, and so nothing lost.
void process_pool::try_start_again(member& m, const handler_process::ending& how) {
  const auto now = clock_now();
  const auto pause = m.pause.next();
  m.start_at = now + pause;
  if (!were_ready_.empty()) send(node_, failing_atom_v, settings_.service, how.why);
  if (failures_.is_to_be_said(now))
    spdlog::error("service {}: {} {}: {}; trying again in {} ms{}", settings_.process.service,
                  m.process->what().name(),
                  how.not_started ? "cannot be started" : "ended before it was ready",
                  why_in_a_line(how), pause.count(),
                  m.process->is_down() ? "" : ", and the one that it was to replace goes on");
}

void process_pool::schedule_start(member& m, const handler_process::ending& how) {
  const auto now = clock_now();
  const auto& name = settings_.process.service;
  if (how.wanted) {
    if (m.wanted) m.start_at = now;
    return;
  }
  if (!how.was_ready) return try_start_again(m, how);
  if (how.answered > 0) m.restart.reset();
  const auto pause = m.restart.next();
  m.start_at = now + pause;
  if (ends_.is_to_be_said(now))
    spdlog::warn("service {}: {} is gone ({}); starting it again in {} ms", name,
                 m.process->what().name(), why_in_a_line(how), pause.count());
  if (how.answered > 0 || how.lived >= settings_.restarts.window) return;
  ended_in_vain_ = true;
  if (policy_.on_exit(now)) return;
  spdlog::error("service {}: its processes end without having answered anything; the last time: {}",
                name, why_in_a_line(how));
  send(this, again_atom_v); // not from within a process
}

// True if there is something to look at again.
bool process_pool::check_time() {
  const auto now = clock_now();
  check_fork_servers(now);
  for (auto& m : members_) {
    start_due(m, now);
    check_parked(m, now);
    for (auto* p : all_of(m)) p->check_time(now);
  }
  flush();
  if (draining_) tell_drained();
  return needs_time();
}

bool process_pool::needs_time() const {
  return !forks_gone_.empty() || (forks_ && forks_->needs_time()) ||
         std::any_of(members_.begin(), members_.end(), [](const member& m) {
           const auto processes = all_of(m);
           return m.start_at || m.parked ||
                  std::any_of(processes.begin(), processes.end(),
                              [](const handler_process* p) { return p->needs_time(); });
         });
}

void process_pool::expect_beat() {
  const auto& o = settings_.process.options;
  if (o.recycle_age > milliseconds{0} || o.max_memory > 0 || is_elastic())
    delayed_send(this, beat_interval, beat_atom_v);
}

void process_pool::beat() {
  polls_->expect_look();
  const auto now = clock_now();
  for (auto& m : members_) {
    check_age(m, now);
    for (auto* p : {m.process.get(), m.old.get()})
      if (p && (settings_.process.options.max_memory > 0 || is_elastic())) p->measure();
  }
  if (is_elastic()) end_idle(now);
  expect_beat();
}

// All that ask before the memory is known are answered by it.
caf::result<std::uint64_t, std::uint64_t, std::uint32_t> process_pool::report() {
  const auto whom = make_response_promise();
  reports_.push_back(whom);
  if (reports_.size() > 1) return whom;
  for (auto& m : members_)
    for (auto* p : all_of(m)) p->measure();
  delayed_send(this, measure_time, sample_atom_v);
  return whom;
}

void process_pool::answer_reports() {
  std::uint64_t memory = 0;
  std::uint32_t ready = 0;
  for (const auto& m : members_)
    for (const auto* p : all_of(m)) {
      if (p->is_down()) continue;
      memory += p->memory();
      ready += p->is_ready() ? 1 : 0;
    }
  for (auto& whom : std::exchange(reports_, {})) whom.deliver(recycles_, memory, ready);
}

// What it has lived for, and what it has taken at the last beat.
void process_pool::check_age(member& m, instant now) {
  const auto& o = settings_.process.options;
  if (m.replaces || !m.process->takes_requests()) return;
  const auto age = static_cast<std::uint64_t>(o.recycle_age.count());
  const bool old = age > 0 && now - m.process->ready_since() >= milliseconds{age - sooner(m, age)};
  const bool large = o.max_memory > 0 && m.process->memory() > o.max_memory;
  if (large)
    spdlog::warn("service {}: process {} has {} MiB, more than its max-memory: it is replaced",
                 settings_.process.service, m.process->what().number,
                 m.process->memory() / limits::mib);
  if (old || large) replace(m);
}

// Too many have ended in vain: all of them go.
void process_pool::give_up() {
  const auto now = clock_now();
  if (forks_) forks_->give_up(now);
  for (auto& m : members_) {
    for (auto* p : all_of(m)) {
      const auto runs = p->give_up(now);
      answer_for(runs, "its service was given up", now);
      for (const auto& v : runs) places_[v.seat].is = slot_is::held;
    }
    close_all(m, 0, now);
  }
  flush();
  quit(caf::make_error(caf::sec::runtime_error, "too many restarts"));
}

// -- the end ------------------------------------------------------------------------------------------

void process_pool::drain() {
  draining_ = true;
  polls_->expect_look();
  const auto now = clock_now();
  if (forks_) forks_->stop(now);
  for (auto& m : members_) {
    m.start_at.reset();
    for (auto* p : all_of(m)) p->stop(now);
  }
  tell_drained();
}

void process_pool::tell_drained() {
  const bool all_down = std::all_of(members_.begin(), members_.end(), [](const member& m) {
    return m.process->is_down() && (!m.next || m.next->is_down()) && !m.old && m.ending.empty();
  });
  if (all_down && (!forks_ || forks_->is_down()) && drained_.pending())
    drained_.deliver(drained_atom_v);
}

} // namespace ropewalk
