#pragma once

#include "actors/messages.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>

namespace ropewalk {

/// An actor system whose actors run when the test says so, in a time that the test moves.
class virtual_time {
public:
  virtual_time() : system_(config()) {}
  ~virtual_time() { // pending timers hold actors, for which the system would wait
    system_.clock().cancel_all();
    run();
  }
  virtual_time(const virtual_time&) = delete;
  virtual_time& operator=(const virtual_time&) = delete;

  /// Runs every actor that has something to do.
  void run() { scheduler().run(); }

  /// Lets so much time pass, in steps small enough that a timer's consequences get their turn.
  void pass(std::chrono::milliseconds time) {
    run();
    for (std::chrono::milliseconds done{0}; done < time; done += std::chrono::milliseconds{10}) {
      scheduler().advance_time(std::chrono::milliseconds{10});
      run();
    }
  }

  caf::actor_system& system() { return system_; }

private:
  caf::actor_system_config& config() {
    config_.add_message_types<caf::id_block::ropewalk>();
    config_.set("scheduler.policy", caf::atom("testing"));
    return config_;
  }

  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  }

  caf::actor_system_config config_;
  caf::actor_system system_;
};

/// Why an actor ended, once it has.
inline std::shared_ptr<caf::optional<caf::error>> watch(const caf::actor& who) {
  auto result = std::make_shared<caf::optional<caf::error>>();
  caf::actor_cast<caf::abstract_actor*>(who)->attach_functor(
      [result](const caf::error& reason) { *result = reason; });
  return result;
}

/// An actor that does nothing until it is told to end.
inline caf::behavior idle_actor(caf::event_based_actor*) {
  return {[](run_atom) {}};
}

inline void end(const caf::actor& who) {
  caf::anon_send_exit(who, caf::exit_reason::kill);
}

} // namespace ropewalk
