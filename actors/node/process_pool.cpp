#include "actors/node/process_pool.hpp"

#include "actors/node/settings.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/protocol/limits.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <caf/all.hpp>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

// How often deadlines, cancellations and restarts are looked at, while there is one to look at.
constexpr milliseconds member_look_interval{20};

// What a handler may answer, and what becomes of it. `notified`: why it was told to stop.
void judge(error_code said, error_code notified, shared_bytes&& payload, answer_item& into) {
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
    into.code = notified == error_code::ok ? error_code::failed : notified;
    if (notified == error_code::ok)
      into.payload = shared_bytes::copy_of("the handler has given it up, and nobody had asked for "
                                           "that");
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

answer_item process_pool::answer_to(const work_head& what) {
  answer_item result;
  result.token = what.token;
  result.fence = what.fence;
  return result;
}

process_pool::process_pool(caf::actor_config& config, process_pool_settings settings,
                           std::shared_ptr<run_queue> queue, caf::actor gateway, caf::actor node,
                           shared_loop* loop)
    : broker(config), settings_(std::move(settings)), queue_(std::move(queue)),
      gateway_(std::move(gateway)), node_(std::move(node)), loop_(loop),
      buffer_(std::make_unique_for_overwrite<char[]>(limits::read_bytes)),
      policy_(settings_.restarts, settings_.service + 1u) {}

void process_pool::on_exit() {
  reports_.clear();
  members_.clear();
  forks_.reset();
  forks_gone_.clear();
  if (polls_) polls_->close();
  node_ = nullptr;
  gateway_ = nullptr;
}

caf::behavior process_pool::make_behavior() {
  polls_ = poll_set::open(*loop_); // here and not before: this runs on the loop
  polls_->look_every(member_look_interval, [this] { return check_time(); });
  polls_->expect_look();
  for (slot_number slot = 0; slot < settings_.slots; ++slot)
    places_.push_back({queue_->take_seat(slot, leader_id::nobody), slot_is::closed, {}});
  members_.resize(process_count(settings_));
  were_ready_.resize(min_processes());
  for (std::uint32_t i = 0; i < members_.size(); ++i) {
    members_[i].process = make_process(i);
    members_[i].wanted = i < were_ready_.size();
  }
  send(gateway_, slot_up_atom_v, settings_.service, std::vector<slot_number>{}, caf::actor{this});
  const auto now = clock_now();
  members_.front().process->start(now);
  if (settings_.process.is_server) start_others(now);
  if (is_elastic()) send(gateway_, waiting_atom_v, settings_.service);
  expect_beat();
  return {
      [this](beat_atom) { beat(); },
      [this](run_atom, const std::vector<std::uint32_t>& slots) { run(slots); },
      [this](drain_atom) -> caf::result<drained_atom> {
        drained_ = make_response_promise();
        drain();
        return drained_;
      },
      [this](again_atom) { give_up(); },
      [this](status_atom) { return report(); },
      [this](sample_atom) { answer_reports(); },
      [this](waiting_atom, std::uint16_t shard, std::uint32_t count) {
        if (shard >= waiting_.size()) waiting_.resize(shard + 1u);
        waiting_[shard] = count;
        polls_->expect_look();
        start_more(clock_now());
      },
      [this](reload_atom) {
        polls_->expect_look();
        if (forks_)
          forks_->replace(clock_now());
        else
          replace_all();
      },
  };
}

// It has had as many requests as it should.
bool process_pool::is_worn(const member& m) const {
  const auto most = settings_.process.options.recycle_after;
  return most > 0 && m.process->requests() >= most - sooner(m, most);
}

// Not all of them at the same time: up to a fifth sooner, each by another number.
std::uint64_t process_pool::sooner(const member& m, std::uint64_t most) const {
  return most / 5 * m.process->what().number / members_.size();
}

bool process_pool::may_begin(const member& m) const {
  return m.process->takes_requests() && !m.parked && !draining_ && !is_spent(m);
}

// -- messages in --------------------------------------------------------------------------------------

void process_pool::run(const std::vector<slot_number>& slots) {
  polls_->expect_look();
  const auto now = clock_now();
  for (const auto slot : slots) // one that was woken may have been closed since
    if (places_[slot].is == slot_is::idle) take_next(of(slot), slot, now);
  flush();
}

// The next message for this slot, which is free and offered, if there is one and its process may
// have it.
void process_pool::take_next(member& m, slot_number slot, instant now) {
  run_queue::job job;
  for (;;) {
    if (!may_begin(m)) return hold(m, slot);
    places_[slot].is = slot_is::idle;
    if (!queue_->next(*places_[slot].seat, now, job)) return;
    if (begin(m, slot, job, now)) return;
  }
}

void process_pool::hold(member& m, slot_number slot) {
  places_[slot].is = slot_is::held;
  m.held.push_back(slot);
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
  if (job.item.alone() && m.process->load().running() > 0) {
    places_[slot].is = slot_is::parked;
    m.parked = slot;
    m.parked_job = std::move(job);
    m.parked_since = now;
  } else {
    ask(m, slot, job, now);
  }
  return true;
}

void process_pool::ask(member& m, slot_number slot, run_queue::job& job, instant now) {
  const auto timeout = settings_.process.options.timeout;
  places_[slot].limited = timeout > milliseconds{0} && now + timeout < job.deadline;
  const auto deadline = places_[slot].limited ? now + timeout : job.deadline;
  const process_load::request what{slot, deadline, job.item.alone(), job.stop};
  const auto attempt = job.item.attempt;
  if (job.item.has_fields()) [[unlikely]]
    m.process->request(what, job.item.message(), {attempt, job.item.fields(), job.item.token}, now);
  else
    m.process->request(what, job.item.payload, {attempt, {}, job.item.token}, now);
  places_[slot].is = slot_is::running;
  if (is_worn(m)) replace(m);
  touch(m);
}

// -- answers out --------------------------------------------------------------------------------------

// What its service's options make of it.
void process_pool::explain_end(const place& at, answer_item& answer) const {
  const auto& options = settings_.process.options;
  if (answer.end != item_end::answered) return;
  if (answer.code == error_code::failed && options.retry_failed) answer.end = item_end::failed;
  if (answer.code == error_code::timeout && at.limited)
    answer.payload = shared_bytes::copy_of(over_timeout(options.timeout, answer.payload.view()));
}

// The slot has no message any more; what it is from here on is the caller's to say.
void process_pool::end(slot_number slot, answer_item& answer, instant now) {
  if (queue_->finish(*places_[slot].seat, answer, now)) notify_gateway_ = true;
}

void process_pool::end_and_take_next(member& m, slot_number slot, answer_item& answer,
                                     instant now) {
  const bool offered = std::binary_search(m.offered.begin(), m.offered.end(), slot);
  if (offered && may_begin(m) && m.held.empty()) { // as nearly always
    run_queue::job job;
    const auto after = queue_->finish_and_next(*places_[slot].seat, answer, now, job);
    if (after.notify_gateway) notify_gateway_ = true;
    places_[slot].is = slot_is::idle;
    if (after.has_next && !begin(m, slot, job, now)) take_next(m, slot, now);
    return;
  }
  end(slot, answer, now);
  fill(m, slot, now);
}

// What has just become free is filled again, or held, or was of an old process that took more.
void process_pool::fill(member& m, slot_number slot, instant now) {
  if (std::binary_search(m.offered.begin(), m.offered.end(), slot))
    hold(m, slot);
  else
    close(m, {slot}, 0);
  go_on(m, now);
}

void process_pool::on_answer(handler_process& which, process_load::ended what, error_code code,
                             shared_bytes&& payload) {
  auto& m = of(which);
  auto answer = answer_to(places_[what.seat].runs);
  answer.run_us = static_cast<std::uint32_t>(what.run_time.count());
  judge(code, what.notified, std::move(payload), answer);
  explain_end(places_[what.seat], answer);
  if (std::exchange(ended_in_vain_, false)) policy_.forget();
  touch(m);
  const auto now = clock_now();
  end_and_take_next(m, what.seat, answer, now);
  if (&which == m.old.get())
    end_old(m, now);
  else
    end_spent(m, now);
}

// Something that others waited for is over, perhaps.
void process_pool::go_on(member& m, instant now) {
  if (m.parked && m.process->load().running() == 0 && m.process->takes_requests()) {
    const auto slot = *std::exchange(m.parked, std::nullopt);
    auto job = std::move(m.parked_job);
    if (!begin(m, slot, job, now)) hold(m, slot);
  }
  if (!may_begin(m)) return;
  for (const auto slot : std::exchange(m.held, {})) take_next(m, slot, now);
}

// What was to run alone goes back, or comes to its end, without having been started.
void process_pool::unpark(member& m, item_end how, error_code code, instant now) {
  const auto slot = *std::exchange(m.parked, std::nullopt);
  m.parked_job = {};
  auto answer = answer_to(places_[slot].runs);
  answer.end = how;
  answer.code = code;
  end(slot, answer, now);
  hold(m, slot);
}

// A process whose other requests take long is not kept waiting for its sake.
void process_pool::check_parked(member& m, instant now) {
  if (!m.parked) return;
  if (now >= m.parked_job.deadline)
    unpark(m, item_end::answered, error_code::timeout, now);
  else if (m.parked_job.stop && m.parked_job.stop->load())
    unpark(m, item_end::answered, error_code::cancelled, now);
  else if (now - m.parked_since >= milliseconds{limits::parked_ms})
    unpark(m, item_end::returned, error_code::ok, now);
  else
    return;
  go_on(m, now);
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
    if (members_[number].old) members_[number].old->flush(); // asked before it gave its place up
  }
  if (std::exchange(notify_gateway_, false)) send(gateway_, answered_atom_v);
}

} // namespace ropewalk
