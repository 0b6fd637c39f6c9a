#include "actors/node/process_pool.hpp"

#include "net/cluster/shared_loop.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <caf/all.hpp>
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
    places_.push_back({queue_->take_seat(slot, leader_id::nobody), {}});
  members_.resize(process_count(settings_));
  handler_process::owner& me = *this;
  for (std::uint32_t i = 0; i < members_.size(); ++i) {
    auto with = settings_.process;
    with.number = i;
    members_[i].process =
        std::make_unique<handler_process>(std::move(with), polls_, me, buffer_.get());
  }
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
  };
}

// It has had as many requests as it should.
bool process_pool::is_worn(const member& m) const {
  const auto most = settings_.process.options.recycle_after;
  return most > 0 && m.process->requests() >= most;
}

bool process_pool::may_begin(const member& m) const {
  return m.process->takes_requests() && !m.parked && !draining_ && !is_worn(m);
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
  touch(m);
  expect_ticks();
}

// -- answers out --------------------------------------------------------------------------------------

void process_pool::end(slot_number slot, answer_item& answer, instant now) {
  if (queue_->finish(*places_[slot].seat, answer, now)) notify_gateway_ = true;
}

void process_pool::end_and_take_next(member& m, slot_number slot, answer_item& answer,
                                     instant now) {
  if (!may_begin(m)) {
    end(slot, answer, now);
    m.held.push_back(slot);
    return go_on(m, now);
  }
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
  end_and_take_next(m, what.seat, answer, clock_now());
}

// Something that others waited for is over, perhaps.
void process_pool::go_on(member& m, instant now) {
  if (m.parked && m.process->load().running() == 0 && m.process->takes_requests()) {
    const auto slot = *std::exchange(m.parked, std::nullopt);
    auto job = std::move(m.parked_job);
    if (!begin(m, slot, job, now)) m.held.push_back(slot);
  }
  if (is_worn(m) && m.process->load().running() == 0) return m.process->stop(now);
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
  for (const auto number : std::exchange(dirty_, {})) {
    members_[number].dirty = false;
    members_[number].process->flush();
  }
  if (std::exchange(notify_gateway_, false)) send(gateway_, answered_atom_v);
}

// -- processes ----------------------------------------------------------------------------------------

void process_pool::on_ready(handler_process& which, std::uint32_t concurrency) {
  auto& m = of(which);
  m.held.clear();
  m.offered.clear();
  for (auto slot = which.what().number; slot < settings_.slots && m.offered.size() < concurrency;
       slot += static_cast<slot_number>(members_.size()))
    m.offered.push_back(slot);
  spdlog::info("service {}: process {} is ready, for {} at a time", settings_.process.service,
               which.what().number, m.offered.size());
  send(gateway_, slot_up_atom_v, settings_.service, m.offered, caf::actor{this});
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
  withhold(m, how.was_ready && !how.wanted);
  for (const auto& v : how.runs) {
    auto answer = answer_to(places_[v.seat].runs);
    answer.end = v.end;
    answer.code = v.code;
    answer.run_us = static_cast<std::uint32_t>(v.run_time.count());
    if (v.end != item_end::answered)
      answer.payload = shared_bytes::copy_of("its process is gone: " + how.why);
    end(v.seat, answer, now);
  }
  touch(m);
  if (draining_) return tell_drained();
  schedule_start(m, how);
  expect_ticks();
}

void process_pool::schedule_start(member& m, const handler_process::ending& how) {
  const auto now = clock_now();
  const auto& name = settings_.process.service;
  const auto number = m.process->what().number;
  if (how.wanted) {
    m.start_at = now;
    return;
  }
  if (!how.was_ready) { // nothing was offered, and so nothing lost
    const auto pause = m.pause.next();
    m.start_at = now + pause;
    if (failures_.is_to_be_said(now))
      spdlog::error("service {}: process {} {}: {}; trying again in {} ms", name, number,
                    how.not_started ? "cannot be started" : "ended before it was ready", how.why,
                    pause.count());
    return;
  }
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
    if (m.start_at && now >= *m.start_at && !draining_) {
      m.start_at.reset();
      m.process->start(now);
    }
    m.process->check_time(now);
    needed = needed || m.process->needs_time() || m.start_at;
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
    for (const auto& v : m.process->give_up(now)) {
      auto answer = answer_to(places_[v.seat].runs);
      answer.end = v.end;
      answer.payload = shared_bytes::copy_of("its service was given up");
      end(v.seat, answer, now);
    }
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
    m.process->stop(now);
  }
  expect_ticks();
  tell_drained();
}

void process_pool::tell_drained() {
  const bool all_down = std::all_of(members_.begin(), members_.end(),
                                    [](const member& m) { return m.process->is_down(); });
  if (all_down && drained_.pending()) drained_.deliver(drained_atom_v);
}

} // namespace ropewalk
