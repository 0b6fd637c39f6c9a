#pragma once

#include "actors/handlers/handler.hpp"
#include "actors/messages.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/node/sched_class.hpp"
#include "actors/node/start_pause.hpp"
#include "net/cluster/shared_loop.hpp"

#include <memory>
#include <string>

namespace ropewalk {

/// What a slot is given.
struct slot_settings {
  std::string service;
  std::shared_ptr<run_queue> queue;
  std::shared_ptr<run_queue::seat> seat;
  caf::actor gateway;
  shared_loop* loop = nullptr; ///< led while there is no work, if messages are short; may be null
  std::size_t max_reply_bytes = 0;
  std::shared_ptr<start_lease> lease; ///< lapses when the slot notices that the machine has slept
  std::shared_ptr<start_failures> failures; ///< of all slots of the service
  milliseconds timeout{0};                  ///< the longest run of a message; 0: until its deadline
  bool retry_failed = false;                ///< what says that it failed may be started again
};

/// One slot: runs one message at a time, on a thread of its own, where handlers may block. Woken by
/// (run), it works until its service's queue is empty. A slot of a service with short messages then
/// leads at the event loop, if nobody else does, and finds its next work there; every other sleeps.
/// What a handler throws ends it; its pool starts another.
struct slot_state {
  std::unique_ptr<handler> code;
  ropewalk::sched_class sched_class; ///< of the slot's own thread
  start_pause pause;
  bool started = false; ///< `code` was: it is to be stopped
  const char* name = "slot";

  ~slot_state() {
    if (started) code->stop();
  }
};

caf::behavior slot(caf::stateful_actor<slot_state>* self, slot_settings settings,
                   std::unique_ptr<handler> code);

} // namespace ropewalk
