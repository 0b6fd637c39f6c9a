#include "actors/node/slot.hpp"

#include "actors/node/settings.hpp"
#include "actors/time/coarse_clock.hpp"
#include "net/protocol/limits.hpp"

#include <caf/all.hpp>
#include <spdlog/spdlog.h>
#include <thread>

namespace ropewalk {

namespace {

outcome run(handler& code, run_queue::job& job, const slot_settings& s, instant now) {
  if (now >= job.deadline) return {error_code::timeout, {}};
  const bool limited = s.timeout > milliseconds{0} && now + s.timeout < job.deadline;
  invocation what;
  what.service = s.service;
  what.id = job.item.token;
  what.attempt = job.item.attempt;
  what.begun = now;
  what.deadline = limited ? now + s.timeout : job.deadline;
  what.stop = job.stop;
  if (job.item.has_fields()) [[unlikely]] {
    what.fields = job.item.fields(); // the job keeps them
    what.payload = job.item.message();
  } else {
    what.payload = std::move(job.item.payload);
  }
  auto result = code.run(what);
  if (limited && result.code == error_code::timeout)
    result.payload = shared_bytes::copy_of(over_timeout(s.timeout, result.payload.view()));
  if (result.payload.size() > s.max_reply_bytes)
    return {
        error_code::too_large,
        shared_bytes::copy_of("the reply is over the cap on messages; raise --max-message-bytes")};
  return result;
}

// What a slot does between two sleeps.
class work_loop {
public:
  work_loop(caf::stateful_actor<slot_state>& self, const slot_settings& settings)
      : self_(self), s_(settings) {}

  void work() {
    run_queue::job job;
    now_ = time();
    bool has_work = s_.queue->next(*s_.seat, now_, job);
    do {
      now_ = time();
      unsigned messages = 0;
      for (; has_work; ++messages) has_work = run_one(job);
      self_.state.sched_class.worked_off(messages);
      has_work = find_work(job);
    } while (has_work);
    if (s_.loop) s_.loop->call_fallback_poller();
  }

private:
  struct leadership { // whatever happens: until one releases it nobody else can acquire it
    shared_loop& loop;
    ~leadership() { loop.release_leadership(); }
  };

  instant time() {
    const auto now = clock_.now();
    if (clock_.slept() && s_.lease) s_.lease->lapse();
    return now;
  }

  // Puts the next message, if there is one, in the place of the one that it has run.
  bool run_one(run_queue::job& job) {
    const auto begin = now_;
    auto result = run(*self_.state.code, job, s_, begin);
    now_ = time();
    if (result.what == outcome::kind::not_started) return give_back(job, result.payload.view());
    self_.state.pause.reset();
    answer_item answer;
    answer.token = job.item.token;
    answer.fence = job.item.fence;
    answer.code = result.code;
    answer.payload = std::move(result.payload);
    answer.run_us =
        static_cast<std::uint32_t>(std::chrono::duration_cast<microseconds>(now_ - begin).count());
    if (result.code != error_code::ok) answer.end = end_of(result);
    const auto after = s_.queue->finish_and_next(*s_.seat, answer, now_, job);
    if (after.notify_gateway) notify_gateway(after.has_next);
    return after.has_next;
  }

  item_end end_of(const outcome& result) {
    if (result.what == outcome::kind::stopped && was_meant_for_the_node())
      return item_end::interrupted;
    if (s_.retry_failed && result.code == error_code::failed) return item_end::failed;
    return result.code == error_code::worker_lost ? item_end::crashed : item_end::answered;
  }

  // Who stops a node and all that it started (a service manager that signals every process) reaches
  // the one and the other within moments, in any order.
  bool was_meant_for_the_node() {
    const auto end = std::chrono::steady_clock::now() + milliseconds{limits::stop_spread_ms};
    while (!s_.queue->leaving() && std::chrono::steady_clock::now() < end)
      std::this_thread::sleep_for(milliseconds{5});
    now_ = time();
    return s_.queue->leaving();
  }

  // Nobody is charged for what this node could not start. The slot pauses: what comes next would
  // fare no better at once.
  bool give_back(run_queue::job& job, std::string_view why) {
    answer_item back;
    back.token = job.item.token;
    back.fence = job.item.fence;
    back.end = item_end::returned;
    if (s_.queue->finish(*s_.seat, back, now_)) notify_gateway(false);
    const auto pause = self_.state.pause.next();
    if (s_.failures && s_.failures->is_to_be_said(now_))
      spdlog::error("service {}: {}; its messages go back unstarted, and this slot pauses {} ms",
                    s_.service, why, pause.count());
    std::this_thread::sleep_for(pause);
    now_ = time();
    return s_.queue->next(*s_.seat, now_, job);
  }

  // With more to run it will not find the time to lead by itself before long.
  void notify_gateway(bool more) {
    if (!acquire_leadership()) return self_.send(s_.gateway, answered_atom_v);
    const leadership until_the_end{*s_.loop};
    self_.send(s_.gateway, answered_atom_v);
    if (more)
      s_.loop->handle_events(); // does not wait: there is something to handle
    else
      s_.loop->handle_posted();
  }

  // Leads at the loop until it brings a message; false: others see to it.
  bool find_work(run_queue::job& job) {
    if (!acquire_leadership()) return false;
    const leadership until_the_end{*s_.loop};
    for (;;) {
      if (s_.queue->next(*s_.seat, time(), job)) return true;
      if (!s_.queue->has_place(*s_.seat)) return false;
      s_.loop->handle_events();
    }
  }

  // Only for short messages: while one runs nobody leads.
  bool acquire_leadership() {
    return s_.loop && s_.queue->fast() && s_.loop->acquire_leadership(s_.seat->me());
  }

  caf::stateful_actor<slot_state>& self_;
  const slot_settings& s_;
  coarse_clock clock_;
  instant now_{}; // when the last message ended, or the shift began
};

} // namespace

caf::behavior slot(caf::stateful_actor<slot_state>* self, slot_settings settings,
                   std::unique_ptr<handler> code) {
  self->state.code = std::move(code);
  self->set_exception_handler([](std::exception_ptr& thrown) -> caf::error {
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& e) {
      return caf::make_error(caf::sec::runtime_error, e.what());
    } catch (...) {
      return caf::make_error(caf::sec::runtime_error,
                             "something that is no std::exception was thrown");
    }
  });
  if (const auto started = self->state.code->start(); !started) {
    self->quit(caf::make_error(caf::sec::runtime_error, started.why().text()));
    return {};
  }
  self->state.started = true;
  return {[self, settings = std::move(settings)](run_atom) {
    work_loop{*self, settings}.work();
    // It was written off while it ran: whoever comes next starts a handler of its own.
    if (settings.seat->is_stopped() && !settings.queue->has_place(*settings.seat)) self->quit();
  }};
}

} // namespace ropewalk
