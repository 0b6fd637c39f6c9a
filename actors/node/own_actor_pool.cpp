#include "actors/node/own_actor_pool.hpp"

#include "net/bytes/shared_string.hpp"
#include "net/protocol/frame.hpp"
#include "net/protocol/limits.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <spdlog/spdlog.h>
#include <utility>

namespace ropewalk {

namespace {

// How often deadlines are looked at, while something is open.
constexpr milliseconds deadline_interval{20};

std::string error_text(const caf::error& why) {
  return why.context().match_elements<std::string>() ? why.context().get_as<std::string>(0)
                                                     : caf::to_string(why);
}

bool is_busy(const caf::error& why) {
  return why.category() == caf::atom("ropewalk") &&
         why.code() == static_cast<std::uint8_t>(error_code::busy);
}

answer_item answer_to(const work_head& what) {
  answer_item result;
  result.token = what.token;
  result.fence = what.fence;
  return result;
}

actor_request request_of(const std::string& service, run_queue::job& job,
                         std::shared_ptr<const std::atomic<bool>> stop) {
  actor_request r;
  r.service = service;
  r.id = job.item.token;
  r.attempt = job.item.attempt;
  r.deadline = job.deadline;
  r.stop = std::move(stop);
  if (!job.item.has_fields()) {
    r.payload = job.item.payload.view();
    return r;
  }
  r.payload = job.item.message().view();
  frame_fields fields;
  if (!read_fields(job.item.fields(), fields)) return r; // the broker wrote them
  r.key = fields.key;
  r.trace = fields.trace;
  r.client = fields.client;
  return r;
}

} // namespace

own_actor_pool::own_actor_pool(caf::actor_config& config, settings with,
                               std::shared_ptr<run_queue> queue, caf::actor gateway,
                               caf::actor node)
    : event_based_actor(config), with_(std::move(with)), queue_(std::move(queue)),
      gateway_(std::move(gateway)), node_(std::move(node)),
      policy_(with_.restarts, with_.service + 1u) {}

caf::behavior own_actor_pool::make_behavior() {
  for (slot_number slot = 0; slot < with_.slots; ++slot)
    places_.push_back({slot_is::closed, queue_->take_seat(slot, leader_id::nobody), {}, {}});
  const auto count = with_.what->count == 0 ? with_.slots : with_.what->count;
  members_.resize(std::min(count, with_.slots));
  set_down_handler([this](caf::down_msg& down) { went_down(down); });
  send(gateway_, slot_up_atom_v, with_.service, std::vector<slot_number>{}, caf::actor{this});
  for (std::uint32_t number = 0; number < members_.size(); ++number) start(number);
  return {
      [this](run_atom, const std::vector<std::uint32_t>& slots) {
        const auto now = now_is();
        for (const auto slot : slots) // one that was woken may have been closed since
          if (places_[slot].is == slot_is::idle) take(members_[slot % members_.size()], slot, now);
      },
      [this](again_atom, std::uint32_t number) { start(number); },
      [this](beat_atom) { beat(); },
      [](status_atom) { // its actors are no processes
        return caf::result<std::uint64_t, std::uint64_t, std::uint32_t>{
            std::uint64_t{0}, std::uint64_t{0}, std::uint32_t{0}};
      },
  };
}

void own_actor_pool::on_exit() {
  for (const auto& m : members_)
    if (m.who) send_exit(m.who, caf::exit_reason::user_shutdown);
  members_.clear();
  gateway_ = nullptr;
  node_ = nullptr;
}

std::vector<own_actor_pool::slot_number> own_actor_pool::slots_of(std::uint32_t number) const {
  std::vector<slot_number> result;
  for (auto slot = number; slot < with_.slots; slot += static_cast<slot_number>(members_.size()))
    result.push_back(slot);
  return result;
}

// -- actors -------------------------------------------------------------------------------------------

void own_actor_pool::start(std::uint32_t number) {
  auto& m = members_[number];
  std::string why = "nothing was made";
  try {
    m.who = with_.what->makes(system());
  } catch (const std::exception& e) {
    why = e.what();
  }
  if (m.who) {
    m.pause.reset();
    monitor(m.who);
    return open_slots(number);
  }
  const auto pause = m.pause.next();
  if (failures_.is_to_be_said(now_is()))
    spdlog::error("service {}: actor {} cannot be made: {}; trying again in {} ms", with_.name,
                  number, why, pause.count());
  delayed_send(this, pause, again_atom_v, number);
}

void own_actor_pool::open_slots(std::uint32_t number) {
  auto& m = members_[number];
  const auto slots = slots_of(number);
  for (const auto slot : slots) {
    places_[slot].is = slot_is::idle;
    if (!queue_->slot_revived(slot)) continue;
    places_[slot].is = slot_is::taken; // there is work for it
    m.held.push_back(slot);
  }
  send(gateway_, slot_up_atom_v, with_.service, slots, caf::actor{this});
  go_on(m, now_is());
}

// What its actor had open has been answered for.
void own_actor_pool::close_slots(std::uint32_t number, std::uint32_t restarts) {
  auto& m = members_[number];
  if (m.parked)
    end_unasked(std::exchange(m.parked, std::nullopt)->slot, item_end::returned, error_code::ok,
                now_is());
  m.held.clear();
  const auto slots = slots_of(number);
  for (const auto slot : slots) {
    places_[slot].is = slot_is::closed;
    queue_->slot_died(slot);
  }
  send(gateway_, slot_down_atom_v, with_.service, slots, restarts);
}

void own_actor_pool::went_down(const caf::down_msg& down) {
  const auto found = std::find_if(members_.begin(), members_.end(), [&](const member& m) {
    return m.who == down.source || m.ending == down.source;
  });
  if (found == members_.end()) return;
  auto& m = *found;
  const auto number = static_cast<std::uint32_t>(found - members_.begin());
  if (m.ending == down.source) { // what it had was answered for when it was killed
    m.ending = {};
    m.hangs = false;
    return start(number);
  }
  const auto now = now_is();
  const auto why = error_text(down.reason);
  m.who = nullptr;
  const auto runs = m.load.died(now);
  const auto cause = runs.size() == 1 ? queue_->message_in(runs.front().seat) : std::nullopt;
  answer_for(runs, "its actor is gone: " + why, now);
  close_slots(number, 1);
  const auto pause = policy_.on_exit(now, cause);
  if (!pause) {
    spdlog::error("service {}: its actors end too often; the last time: {}", with_.name, why);
    return quit(caf::make_error(caf::sec::runtime_error, "too many restarts"));
  }
  spdlog::warn("service {}: actor {} is gone ({}); making it again in {} ms", with_.name, number,
               why, pause->count());
  delayed_send(this, *pause, again_atom_v, number);
}

void own_actor_pool::kill_overdue(std::uint32_t number, instant now) {
  auto& m = members_[number];
  spdlog::warn("service {}: actor {} did not answer a request in time, nor when it was told to "
               "stop: it is killed",
               with_.name, number);
  m.ending = m.who.address();
  m.killed_at = now;
  send_exit(std::exchange(m.who, nullptr), caf::exit_reason::kill);
  answer_for(m.load.ended_overdue(now), "its actor was killed: another request hung there", now);
  close_slots(number, 0);
}

// -- messages -----------------------------------------------------------------------------------------

// The next message for this slot, which is free, if there is one and its actor may have it.
void own_actor_pool::take(member& m, slot_number slot, instant now) {
  auto& at = places_[slot];
  run_queue::job job;
  for (;;) {
    at.is = slot_is::taken;
    if (!m.who || m.parked || m.load.exclusive()) return m.held.push_back(slot);
    if (!queue_->next(*at.seat, now, job)) {
      at.is = slot_is::idle;
      return;
    }
    at.runs = job.item;
    if (now >= job.deadline) {
      end_unasked(slot, item_end::answered, error_code::timeout, now);
      continue;
    }
    if (job.item.alone() && m.load.running() > 0) {
      m.parked = parked_job{slot, std::move(job), now};
      return expect_beat();
    }
    return ask(slot % static_cast<slot_number>(members_.size()), slot, job, now);
  }
}

void own_actor_pool::ask(std::uint32_t number, slot_number slot, run_queue::job& job, instant now) {
  auto& m = members_[number];
  auto& at = places_[slot];
  at.stop = std::make_shared<std::atomic<bool>>(false);
  const auto id = m.load.begin({slot, job.deadline, job.item.alone(), job.stop}, now);
  m.load.said();
  request(m.who, caf::infinite, request_of(with_.name, job, at.stop))
      .then([this, number,
             id](std::string& reply) { answered(number, id, error_code::ok, std::move(reply)); },
            [this, number, id](const caf::error& why) { failed(number, id, why); });
  expect_beat();
}

// Something that others waited for is over, perhaps.
void own_actor_pool::go_on(member& m, instant now) {
  if (m.parked && m.who && m.load.running() == 0) {
    auto next = *std::exchange(m.parked, std::nullopt);
    ask(next.slot % static_cast<slot_number>(members_.size()), next.slot, next.job, now);
  }
  if (!m.who || m.parked || m.load.exclusive()) return;
  for (const auto slot : std::exchange(m.held, {})) take(m, slot, now);
}

void own_actor_pool::failed(std::uint32_t number, std::uint64_t id, const caf::error& why) {
  if (why == caf::sec::request_receiver_down) return; // its end comes, and says whose fault it is
  if (is_busy(why)) return answered(number, id, error_code::busy, error_text(why));
  answered(number, id, error_code::failed, error_text(why));
}

void own_actor_pool::answered(std::uint32_t number, std::uint64_t id, error_code code,
                              std::string&& payload) {
  const auto now = now_is();
  auto& m = members_[number];
  const auto what = m.load.end(id, now);
  if (!what) return; // it was answered for meanwhile
  policy_.forget();
  auto answer = answer_to(places_[what->seat].runs);
  answer.run_us = static_cast<std::uint32_t>(what->run_time.count());
  answer.code = code;
  if (code == error_code::busy) {
    answer.end = item_end::returned;
  } else if (code == error_code::failed) {
    if (what->notified != error_code::ok) answer.code = what->notified; // it was told to stop
    if (with_.retry_failed && answer.code == error_code::failed) answer.end = item_end::failed;
    answer.payload = shared_bytes::copy_of(readable_end(payload, limits::max_stderr_bytes));
  } else if (payload.size() > with_.max_reply_bytes) {
    answer.code = error_code::too_large;
    answer.payload =
        shared_bytes::copy_of("the reply is over the cap on messages; raise --max-message-bytes");
  } else {
    answer.payload = share(std::move(payload));
  }
  finish(what->seat, answer, now);
  m.held.push_back(what->seat);
  go_on(m, now);
}

void own_actor_pool::finish(slot_number slot, answer_item& answer, instant now) {
  places_[slot].stop = nullptr;
  if (queue_->finish(*places_[slot].seat, answer, now)) send(gateway_, answered_atom_v);
}

void own_actor_pool::end_unasked(slot_number slot, item_end how, error_code code, instant now) {
  auto answer = answer_to(places_[slot].runs);
  answer.end = how;
  answer.code = code;
  finish(slot, answer, now);
}

void own_actor_pool::answer_for(const std::vector<process_load::verdict>& runs,
                                const std::string& why, instant now) {
  for (const auto& v : runs) {
    auto answer = process_load::answer_for(places_[v.seat].runs, v, why);
    finish(v.seat, answer, now);
  }
}

// -- time ---------------------------------------------------------------------------------------------

void own_actor_pool::expect_beat() {
  if (!std::exchange(beats_, true)) delayed_send(this, deadline_interval, beat_atom_v);
}

void own_actor_pool::beat() {
  beats_ = false;
  const auto now = now_is();
  for (std::uint32_t number = 0; number < members_.size(); ++number) check_time(number, now);
}

void own_actor_pool::check_time(std::uint32_t number, instant now) {
  auto& m = members_[number];
  for (const auto id : m.load.take_unwanted(now, with_.stop_timeout)) {
    const auto slot = m.load.seat_of(id);
    if (places_[slot].stop) places_[slot].stop->store(true);
  }
  if (m.load.is_overdue(now)) kill_overdue(number, now);
  if (m.parked) check_parked(m, now);
  if (m.ending && !m.hangs && now - m.killed_at >= with_.stop_timeout) {
    m.hangs = true;
    send(node_, recycle_atom_v,
         "service " + with_.name + ": actor " + std::to_string(number) +
             " hangs, and cannot be ended by being killed");
  }
  if (m.load.running() > 0 || m.parked || (m.ending && !m.hangs)) expect_beat();
}

// Nobody wants it any more, or its actor's others take too long for it to wait for them.
void own_actor_pool::check_parked(member& m, instant now) {
  const auto& job = m.parked->job;
  auto how = item_end::answered;
  auto code = error_code::timeout;
  if (now < job.deadline) {
    code = error_code::cancelled;
    if (!job.stop || !job.stop->load()) {
      if (now - m.parked->since < milliseconds{limits::parked_ms}) return;
      how = item_end::returned;
      code = error_code::ok;
    }
  }
  const auto slot = std::exchange(m.parked, std::nullopt)->slot;
  end_unasked(slot, how, code, now);
  m.held.push_back(slot);
  go_on(m, now);
}

} // namespace ropewalk
