#pragma once

#include "net/loop/leader_followers.hpp"

#include <caf/actor_system_config.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace ropewalk {

/// CAF's event loop for a process whose threads take turns at it (leader_followers). CAF gives the
/// loop a thread of its own; then work that comes in over a socket changes threads on its way to a
/// slot, and its answer does so on its way back: two wake-ups a batch, more than short messages
/// cost themselves. Here a slot's thread that runs out of work leads: it finds its next work on the
/// loop, releases the leadership to run it, and comes back with the answers.
///
/// The names of leader_followers mean the same here.
class shared_loop final : public caf::io::network::default_multiplexer, private polled {
public:
  explicit shared_loop(caf::actor_system* system);
  ~shared_loop() override;

  /// Makes a system's middleman use this class; its loop is `of(system)`.
  static void use_for(caf::actor_system_config& config);
  static shared_loop& of(caf::actor_system& system);

  /// Starts the fallback poller, after which messages flow. Once.
  void start() { turns_.start(); }

  /// Ends the fallback poller, and has the calling thread lead when nobody else does any more:
  /// nothing runs after this but what CAF then runs on this thread.
  void stop();

  // -- any thread ---------------------------------------------------------------------------------

  [[nodiscard]] leader_id enlist() { return turns_.enlist(); }
  [[nodiscard]] bool acquire_leadership(leader_id who);
  void call_fallback_poller() { turns_.call_fallback_poller(); }

  /// CAF: has `what` run on the loop.
  void exec_later(caf::resumable* what) override;

  /// Whether the calling thread leads.
  [[nodiscard]] bool is_leading() const { return turns_.is_leading(); }

  // -- the leader ---------------------------------------------------------------------------------

  /// Handles what there is to handle on sockets and in mailboxes, and all that follows from it:
  /// what was sent is written to its socket then. Waits for something if there is nothing.
  void handle_events();

  /// Handles what the leader itself has brought about, as `handle_events` does, and asks no socket.
  void handle_posted();

  void release_leadership() { turns_.release_leadership(); }
  [[nodiscard]] leader_id leader() const { return turns_.leader(); }
  void yield_to_follower() { turns_.yield_to_follower(); }

  /// Has `what` run once, on the loop's next turn: work that comes in pieces, one a turn, and
  /// sockets are served in between. (What is posted runs in this turn.)
  void defer(std::function<void()> what);

  /// Lets go of it on a later turn: of what takes long to end as much in a turn as there is time for
  /// (limits::release_time_us).
  void release_later(caf::intrusive_ptr<caf::ref_counted> what);

  /// One of the loop's own timers: CAF's would wake a thread of its own, and that one the loop. It
  /// is whose took it, until it is given back.
  enum class timer_id : std::uint32_t {};
  [[nodiscard]] timer_id take_timer();
  void give_back(timer_id which); ///< what was asked of it does not run any more

  /// Has `what` run on the loop in a while; once, and in place of what it was asked for before.
  void remind(timer_id which, std::chrono::microseconds after, std::function<void()> what);

  /// Has `what` run on the loop every so often, from now on, likewise.
  void repeat(timer_id which, std::chrono::microseconds interval, std::function<void()> what);

private:
  class wake_up; // for what other threads put into the inbox
  class timer;

  void poll_once() override;
  void interrupt() override;
  void release_some();
  void take_inbox();
  timer& timer_of(timer_id which);
  void add_timer();

  // By the leader. CAF would look at the sockets between any two of these.
  std::vector<caf::intrusive_ptr<caf::resumable>> posted_;
  std::vector<caf::intrusive_ptr<caf::resumable>> running_;

  std::vector<std::function<void()>> deferred_;
  std::deque<caf::intrusive_ptr<caf::ref_counted>> released_;

  std::mutex inbox_mutex_;
  std::vector<caf::intrusive_ptr<caf::resumable>> inbox_;
  std::unique_ptr<wake_up> wake_up_;
  std::vector<std::unique_ptr<timer>> timers_; // by number
  std::vector<timer_id> free_timers_;

  leader_followers turns_; // the last: its thread uses the others
};

} // namespace ropewalk
