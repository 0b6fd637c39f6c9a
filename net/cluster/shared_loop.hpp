#pragma once

#include <atomic>
#include <caf/actor_system_config.hpp>
#include <caf/io/network/default_multiplexer.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace ropewalk {

/// CAF's event loop for a process whose threads take turns at it. CAF gives the loop a thread of
/// its own; then work that comes in over a socket changes threads on its way to a slot, and its
/// answer does so on its way back: two wake-ups a batch, more than short messages cost themselves.
/// Here a slot's thread that runs out of work attends the loop itself, finds its next work there,
/// leaves the loop to run it, and comes back with the answers.
///
///     slot:      attends ... work! leaves | runs it | attends: answers go out ... work! leaves |
///     watchman:  asleep                   | looks every watch_interval: is the loop alone?     |
///
/// So that a handler that takes long, or never returns, does not stop the process's sockets, a
/// watchman (a thread of this class) attends a loop that was alone for a whole watch_interval, and
/// keeps it until somebody with short work takes over (`hand_over`). At the start it has the loop.
/// While nothing at all happens it sleeps without looking.
class shared_loop final : public caf::io::network::default_multiplexer {
public:
  explicit shared_loop(caf::actor_system* system);
  ~shared_loop() override;

  /// Makes a system's middleman use this class; its loop is `of(system)`.
  static void use_for(caf::actor_system_config& config);
  static shared_loop& of(caf::actor_system& system);

  /// Starts the watchman, after which messages flow. Once.
  void start();

  /// Ends the watchman, and has the calling thread attend when nobody else does any more: nothing
  /// runs after this but what CAF then runs on this thread.
  void stop();

  /// Any thread: has the calling thread attend if nobody does; what for (`who`) can be asked by
  /// what then runs on the loop.
  [[nodiscard]] bool attend(const void* who);

  // -- the thread that attends --------------------------------------------------------------------

  /// Handles what there is to handle on sockets and in mailboxes, and all that follows from it:
  /// what was sent is written to its socket then. Waits for something if there is nothing.
  void turn();

  /// Handles what the attending thread itself has brought about, as `turn` does, and asks no
  /// socket.
  void settle();

  /// The loop is alone from here on.
  void leave();

  /// Has `what` run on the loop in a while; once, and in place of what was asked for before. The
  /// loop's own timer: CAF's would wake a thread of its own for it, and that one the loop.
  void remind(std::chrono::microseconds after, std::function<void()> what);

  /// Has `what` run on the loop every so often, from now on. Once.
  void repeat(std::chrono::microseconds interval, std::function<void()> what);

  /// For whom it is attended; null: the watchman.
  [[nodiscard]] const void* who() const { return who_; }

  /// Somebody was woken who will attend soon: the watchman need not.
  void hand_over() { handed_over_ = true; }

  // -- any thread ---------------------------------------------------------------------------------

  /// Nobody that was expected to attend will: the watchman shall, if the loop is alone.
  void call_watchman();

  /// CAF: has `what` run on the loop.
  void exec_later(caf::resumable* what) override;

private:
  class bell;  // wakes the loop for what other threads put into the inbox
  class alarm; // and this for what is to be done by now

  enum class watch { awake, asleep, ending };

  void keep_watch();
  bool look();
  void take_inbox();

  std::atomic<std::thread::id> attendant_{}; // nobody: the loop is alone
  std::atomic<std::uint32_t> shifts_{0};     // how often somebody began to attend
  const void* who_ = nullptr;
  bool handed_over_ = false;
  // By the attending thread. CAF would look at the sockets between any two of these.
  std::vector<caf::intrusive_ptr<caf::resumable>> posted_;
  std::vector<caf::intrusive_ptr<caf::resumable>> running_;

  std::mutex inbox_mutex_;
  std::vector<caf::intrusive_ptr<caf::resumable>> inbox_;
  std::unique_ptr<bell> bell_;
  std::unique_ptr<alarm> alarm_;
  std::unique_ptr<alarm> beat_;

  std::mutex watch_mutex_;
  std::condition_variable watch_changed_;
  std::atomic<watch> watch_{watch::awake};
  bool called_ = false;
  std::thread watchman_;
};

} // namespace ropewalk
