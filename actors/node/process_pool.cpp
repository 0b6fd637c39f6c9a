#include "actors/node/process_pool.hpp"

#include "net/cluster/shared_loop.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <iterator>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

// How often deadlines, cancellations and restarts are looked at, while there is one to look at.
constexpr milliseconds tick_interval{20};

instant clock_now() {
  return std::chrono::steady_clock::now();
}

answer_item answer_to(const work_head& what) {
  answer_item result;
  result.token = what.token;
  result.fence = what.fence;
  return result;
}

// What a handler may answer, and what becomes of it.
void judge(error_code said, shared_bytes&& payload, answer_item& into) {
  into.code = said;
  switch (said) {
  case error_code::ok:
    into.payload = std::move(payload);
    return;
  case error_code::busy:
  case error_code::draining:
    into.end = item_end::returned; // it did not start it: another may
    return;
  case error_code::cancelled:
    return;
  case error_code::too_large:
    into.payload =
        shared_bytes::copy_of("the reply is over the cap on messages; raise --max-message-bytes");
    return;
  case error_code::failed:
  case error_code::timeout:
    break;
  default: // it is no broker, to say these
    into.code = error_code::failed;
    into.payload = shared_bytes::copy_of(std::string{name_of(said)} + ": " +
                                         readable_end(payload.view(), limits::max_stderr_bytes));
    return;
  }
  into.payload = shared_bytes::copy_of(readable_end(payload.view(), limits::max_stderr_bytes));
}

std::uint32_t process_count(const process_pool_settings& s) {
  const auto wanted = s.process.options.processes;
  return wanted == 0 ? s.slots : std::min(wanted, s.slots);
}

} // namespace

process_pool::process_pool(caf::actor_config& config, process_pool_settings settings,
                           std::shared_ptr<run_queue> queue, caf::actor gateway, shared_loop* loop)
    : broker(config), settings_(std::move(settings)), queue_(std::move(queue)),
      gateway_(std::move(gateway)), loop_(loop), polls_(poll_set::open(*loop)),
      buffer_(std::make_unique_for_overwrite<char[]>(limits::read_bytes)),
      policy_(settings_.restarts, settings_.service + 1u) {}

void process_pool::on_exit() {
  members_.clear();
  polls_->close();
}

caf::behavior process_pool::make_behavior() {
  for (slot_number slot = 0; slot < settings_.slots; ++slot)
    places_.push_back({queue_->take_seat(slot, leader_id::nobody), {}, false});
  members_.resize(process_count(settings_));
  for (std::uint32_t i = 0; i < members_.size(); ++i) members_[i].process = make_process(i);
  const auto now = clock_now();
  for (auto& m : members_) m.process->start(now);
  expect_ticks();
  return {
      [this](run_atom, const std::vector<std::uint32_t>& slots) { run(slots); },
      [this](drain_atom) -> caf::result<drained_atom> {
        drained_ = make_response_promise();
        drain();
        return drained_;
      },
      [this](again_atom) { give_up(); },
      [this](reload_atom) {
        for (auto& m : members_) replace(m);
      },
  };
}

std::unique_ptr<handler_process> process_pool::make_process(std::uint32_t number) {
  handler_process::owner& me = *this;
  auto with = settings_.process;
  with.number = number;
  return std::make_unique<handler_process>(std::move(with), polls_, me, buffer_.get());
}

// It has had as many requests as it should.
bool process_pool::is_worn(const member& m) const {
  const auto most = settings_.process.options.recycle_after;
  return most > 0 && m.process->requests() >= most;
}

bool process_pool::may_begin(const member& m) const {
  return m.process->takes_requests() && !m.parked && !draining_;
}

// -- messages in --------------------------------------------------------------------------------------

void process_pool::run(const std::vector<slot_number>& slots) {
  const auto now = clock_now();
  for (const auto slot : slots) take_next(of(slot), slot, now);
  flush();
}

// The next message for this slot, if there is one and its process may have it.
void process_pool::take_next(member& m, slot_number slot, instant now) {
  run_queue::job job;
  for (;;) {
    if (!may_begin(m)) return m.held.push_back(slot);
    if (!queue_->next(*places_[slot].seat, now, job)) return;
    if (begin(m, slot, job, now)) return;
  }
}

// False if it came to its end at once.
bool process_pool::begin(member& m, slot_number slot, run_queue::job& job, instant now) {
  places_[slot].runs = job.item;
  places_[slot].busy = true;
  if (now >= job.deadline) {
    auto late = answer_to(job.item);
    late.code = error_code::timeout;
    end(slot, late, now);
    return false;
  }
  if (job.item.alone && m.process->load().running() > 0) {
    m.parked = slot;
    m.parked_job = std::move(job);
  } else {
    ask(m, slot, job, now);
  }
  return true;
}

void process_pool::ask(member& m, slot_number slot, run_queue::job& job, instant now) {
  m.process->request({slot, job.deadline, job.item.alone, job.stop}, job.item.payload,
                     job.item.attempt, now);
  if (is_worn(m)) replace(m);
  touch(m);
  expect_ticks();
}

// -- answers out --------------------------------------------------------------------------------------

void process_pool::end(slot_number slot, answer_item& answer, instant now) {
  places_[slot].busy = false;
  if (queue_->finish(*places_[slot].seat, answer, now)) notify_gateway_ = true;
}

void process_pool::end_and_take_next(member& m, slot_number slot, answer_item& answer,
                                     instant now) {
  const bool offered = std::binary_search(m.offered.begin(), m.offered.end(), slot);
  if (!offered || !may_begin(m)) {
    end(slot, answer, now);
    if (offered) m.held.push_back(slot);
    if (!offered) // of an old process that took more at a time
      send(gateway_, slot_down_atom_v, settings_.service, std::vector{slot}, std::uint32_t{0});
    return go_on(m, now);
  }
  places_[slot].busy = false;
  run_queue::job job;
  const auto after = queue_->finish_and_next(*places_[slot].seat, answer, now, job);
  if (after.notify_gateway) notify_gateway_ = true;
  if (after.has_next && !begin(m, slot, job, now)) take_next(m, slot, now);
}

void process_pool::on_answer(handler_process& which, process_load::ended what, error_code code,
                             shared_bytes&& payload) {
  auto& m = of(which);
  auto answer = answer_to(places_[what.seat].runs);
  answer.run_us = static_cast<std::uint32_t>(what.run_time.count());
  judge(code, std::move(payload), answer);
  m.pause.reset();
  if (std::exchange(ended_in_vain_, false)) policy_.forget();
  touch(m);
  const auto now = clock_now();
  end_and_take_next(m, what.seat, answer, now);
  if (&which == m.old.get()) end_old(m, now);
}

// Something that others waited for is over, perhaps.
void process_pool::go_on(member& m, instant now) {
  if (m.parked && m.process->load().running() == 0 && m.process->takes_requests()) {
    const auto slot = *std::exchange(m.parked, std::nullopt);
    auto job = std::move(m.parked_job);
    if (!begin(m, slot, job, now)) m.held.push_back(slot);
  }
  if (!may_begin(m)) return;
  for (const auto slot : std::exchange(m.held, {})) take_next(m, slot, now);
}

void process_pool::touch(member& m) {
  if (std::exchange(m.dirty, true)) return;
  if (dirty_.empty())
    loop_->post([this, alive = caf::strong_actor_ptr{ctrl()}] {
      if (!getf(is_terminated_flag)) flush();
    });
  dirty_.push_back(m.process->what().number);
}

// What was collected in this turn leaves: one write a process, one message to the gateway.
void process_pool::flush() {
  gone_.clear();
  for (const auto number : std::exchange(dirty_, {})) {
    members_[number].dirty = false;
    members_[number].process->flush();
  }
  if (std::exchange(notify_gateway_, false)) send(gateway_, answered_atom_v);
}

// -- processes ----------------------------------------------------------------------------------------

void process_pool::on_ready(handler_process& which, std::uint32_t concurrency) {
  auto& m = of(which);
  m.pause.reset();
  std::vector<slot_number> slots;
  for (auto slot = which.what().number; slot < settings_.slots && slots.size() < concurrency;
       slot += static_cast<slot_number>(members_.size()))
    slots.push_back(slot);
  spdlog::info("service {}: process {} is ready, for {} at a time", settings_.process.service,
               which.what().number, slots.size());
  if (&which == m.next.get()) swap_in(m);
  offer(m, std::move(slots));
  go_on(m, clock_now());
}

// Says what has changed. What is not offered any more and busy with the old process is told of when
// that is over.
void process_pool::offer(member& m, std::vector<slot_number> slots) {
  std::vector<slot_number> more;
  std::vector<slot_number> fewer;
  std::set_difference(slots.begin(), slots.end(), m.offered.begin(), m.offered.end(),
                      std::back_inserter(more));
  std::set_difference(m.offered.begin(), m.offered.end(), slots.begin(), slots.end(),
                      std::back_inserter(fewer));
  std::erase_if(fewer, [this](slot_number slot) { return places_[slot].busy; });
  std::erase_if(m.held, [&](slot_number slot) {
    return std::find(fewer.begin(), fewer.end(), slot) != fewer.end();
  });
  m.offered = std::move(slots);
  if (!fewer.empty())
    send(gateway_, slot_down_atom_v, settings_.service, std::move(fewer), std::uint32_t{0});
  if (!more.empty())
    send(gateway_, slot_up_atom_v, settings_.service, std::move(more), caf::actor{this});
}

// -- one in place of another --------------------------------------------------------------------------

void process_pool::replace(member& m) {
  if (std::exchange(m.replaces, true) || draining_) return;
  if (m.process->is_down() && m.start_at) return; // a fresh one comes anyway
  m.start_at = clock_now();
  expect_ticks();
}

// The next one is ready: what is free is its own, what runs comes to its end with the old one.
void process_pool::swap_in(member& m) {
  m.replaces = false;
  if (m.old) { // there is one at most
    answer_for(m.old->give_up(clock_now()), "its process was replaced", clock_now());
    gone_.push_back(std::move(m.old));
  }
  m.old = std::exchange(m.process, std::move(m.next));
  end_old(m, clock_now());
}

void process_pool::end_old(member& m, instant now) {
  if (m.old->load().running() == 0) m.old->stop(now);
}

// What is due of starts: of the process, or of the one that is to take its place.
void process_pool::start_due(member& m, instant now) {
  if (!m.start_at || now < *m.start_at || draining_) return;
  if (m.old && !m.process->is_down()) return; // one after the other
  m.start_at.reset();
  if (m.process->is_down()) {
    m.replaces = false;
    return m.process->start(now);
  }
  if (!m.next) m.next = make_process(m.process->what().number);
  m.next->start(now);
}

// Its slots are not offered any more, and have nothing to run.
void process_pool::withhold(member& m, bool was_ready) {
  if (!m.offered.empty())
    send(gateway_, slot_down_atom_v, settings_.service, std::exchange(m.offered, {}),
         std::uint32_t{was_ready ? 1u : 0u});
  m.held.clear();
  if (!m.parked) return;
  auto back = answer_to(places_[*m.parked].runs);
  back.end = item_end::returned;
  end(*std::exchange(m.parked, std::nullopt), back, clock_now());
  m.parked_job = {};
}

void process_pool::on_down(handler_process& which, handler_process::ending&& how) {
  auto& m = of(which);
  const auto now = clock_now();
  touch(m);
  expect_ticks();
  if (&which == m.process.get()) withhold(m, how.was_ready && !how.wanted);
  answer_for(how.runs, "its process is gone: " + how.why, now);
  if (&which == m.old.get()) {
    gone_.push_back(std::move(m.old));
    for (const auto& v : how.runs) take_next(m, v.seat, now); // places that have another process
  } else if (&which == m.next.get()) {
    if (!draining_) try_start_again(m, how);
  } else if (!draining_) {
    schedule_start(m, how);
  }
  if (draining_) tell_drained();
}

void process_pool::answer_for(const std::vector<process_load::verdict>& runs,
                              const std::string& why, instant now) {
  for (const auto& v : runs) {
    auto answer = answer_to(places_[v.seat].runs);
    answer.end = v.end;
    answer.code = v.code;
    answer.run_us = static_cast<std::uint32_t>(v.run_time.count());
    if (v.end != item_end::answered) answer.payload = shared_bytes::copy_of(why);
    end(v.seat, answer, now);
  }
}

// Nothing was offered, and so nothing lost.
void process_pool::try_start_again(member& m, const handler_process::ending& how) {
  const auto now = clock_now();
  const auto pause = m.pause.next();
  m.start_at = now + pause;
  if (failures_.is_to_be_said(now))
    spdlog::error("service {}: process {} {}: {}; trying again in {} ms{}",
                  settings_.process.service, m.process->what().number,
                  how.not_started ? "cannot be started" : "ended before it was ready", how.why,
                  pause.count(),
                  m.process->is_down() ? "" : ", and the one that it was to replace goes on");
}

void process_pool::schedule_start(member& m, const handler_process::ending& how) {
  const auto now = clock_now();
  const auto& name = settings_.process.service;
  const auto number = m.process->what().number;
  if (how.wanted) {
    m.start_at = now;
    return;
  }
  if (!how.was_ready) return try_start_again(m, how);
  std::optional<milliseconds> pause{0};
  if (how.answered == 0) {
    ended_in_vain_ = true;
    pause = policy_.on_exit(now);
  }
  if (!pause) {
    spdlog::error("service {}: its processes end without having answered anything; the last time: "
                  "{}",
                  name, how.why);
    return send(this, again_atom_v); // not from within a process
  }
  m.start_at = now + *pause;
  spdlog::warn("service {}: process {} is gone ({}); starting it again in {} ms", name, number,
               how.why, pause->count());
}

void process_pool::tick() {
  const auto now = clock_now();
  bool needed = false;
  for (auto& m : members_) {
    start_due(m, now);
    for (auto* p : {m.process.get(), m.next.get(), m.old.get()}) {
      if (!p) continue;
      p->check_time(now);
      needed = needed || p->needs_time();
    }
    needed = needed || m.start_at;
  }
  flush();
  if (needed) return;
  ticks_ = false;
  polls_->tick_every(milliseconds{0}, {});
}

void process_pool::expect_ticks() {
  if (std::exchange(ticks_, true)) return;
  polls_->tick_every(tick_interval, [this, alive = caf::strong_actor_ptr{ctrl()}] {
    if (!getf(is_terminated_flag)) tick();
  });
}

// Too many have ended in vain: all of them go.
void process_pool::give_up() {
  const auto now = clock_now();
  for (auto& m : members_) {
    withhold(m, false);
    for (auto* p : {m.process.get(), m.next.get(), m.old.get()})
      if (p) answer_for(p->give_up(now), "its service was given up", now);
  }
  flush();
  quit(caf::make_error(caf::sec::runtime_error, "too many restarts"));
}

// -- the end ------------------------------------------------------------------------------------------

void process_pool::drain() {
  draining_ = true;
  const auto now = clock_now();
  for (auto& m : members_) {
    m.start_at.reset();
    for (auto* p : {m.process.get(), m.next.get(), m.old.get()})
      if (p) p->stop(now);
  }
  expect_ticks();
  tell_drained();
}

void process_pool::tell_drained() {
  const bool all_down = std::all_of(members_.begin(), members_.end(), [](const member& m) {
    return m.process->is_down() && (!m.next || m.next->is_down()) && !m.old;
  });
  if (all_down && drained_.pending()) drained_.deliver(drained_atom_v);
}

} // namespace ropewalk
