#include "actors/node/slot.hpp"

#include <caf/all.hpp>

namespace ropewalk {

namespace {

outcome run(handler& code, const run_queue::job& job, std::string_view service, instant now,
            std::size_t max_reply_bytes) {
  if (now >= job.deadline) return {error_code::timeout, {}};
  auto result = code.run({service, job.item.payload, job.item.attempt, job.deadline, job.stop});
  if (result.payload.size() > max_reply_bytes)
    return {
        error_code::too_large,
        shared_bytes::copy_of("the reply is over the cap on messages; raise --max-message-bytes")};
  return result;
}

} // namespace

caf::behavior slot(caf::stateful_actor<slot_state>* self, std::string service_name,
                   std::uint32_t number, std::shared_ptr<run_queue> queue,
                   std::unique_ptr<handler> code, caf::actor gateway, std::size_t max_reply_bytes) {
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
  return {
      [=, service_name = std::move(service_name)](run_atom) {
        auto now = std::chrono::steady_clock::now();
        auto job = queue->next(number);
        while (job) {
          auto result = run(*self->state.code, *job, service_name, now, max_reply_bytes);
          const auto end = std::chrono::steady_clock::now();
          answer_item answer;
          answer.token = job->item.token;
          answer.attempt = job->item.attempt;
          answer.code = result.code;
          if (result.code == error_code::worker_lost) answer.end = item_end::crashed;
          answer.payload = std::move(result.payload);
          answer.run_us = static_cast<std::uint32_t>(
              std::chrono::duration_cast<microseconds>(end - now).count());
          bool tell = false;
          job = queue->finish_and_next(number, answer, end, tell);
          if (tell) self->send(gateway, answered_atom_v);
          now = end;
        }
      },
  };
}

} // namespace ropewalk
