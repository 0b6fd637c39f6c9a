#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace ropewalk {

/// Who leads, as a number that is given to one only (leader_followers::enlist).
enum class leader_id : std::uint32_t { nobody, fallback_poller, first_enlisted };

/// What only the leader may do.
class polled {
public:
  /// Handles what there is to handle; waits for something if there is nothing. The fallback
  /// poller's thread, while it leads.
  virtual void poll_once() = 0;

  /// Any thread: a poll_once that waits is to return soon.
  virtual void interrupt() = 0;

protected:
  ~polled() = default;
};

/// The pattern leader/followers: threads take turns at polling for events, one at a time. The
/// leader handles an event on its own thread, so that it need not be handed to another; whoever
/// finds work that way releases the leadership, runs it, and acquires the leadership again.
///
///     follower:         leads ... work! releases | runs it | leads ... work! releases |
///     fallback poller:  asleep                   | looks every interval: does nobody lead?
///
/// So that work that takes long, or never ends, does not stop the polling, the fallback poller (a
/// thread of this class) leads when nobody did for a whole interval, and goes on until a follower
/// is about to take over (yield_to_follower). At the start it leads. While one follower leads all
/// the time it sleeps without looking.
class leader_followers {
public:
  /// `what` must outlive this. `interval`: how long events may wait for a follower that is busy.
  leader_followers(polled& what, std::chrono::milliseconds interval)
      : polled_(what), interval_(interval) {}
  ~leader_followers() { end_fallback_poller(); }
  leader_followers(const leader_followers&) = delete;
  leader_followers& operator=(const leader_followers&) = delete;

  /// Starts the fallback poller. Once.
  void start();

  /// Ends the fallback poller, and has the calling thread lead as soon as nobody else does.
  void stop();

  // -- any thread ---------------------------------------------------------------------------------

  /// A number by which somebody may lead; never the same one twice.
  [[nodiscard]] leader_id enlist();

  /// Has the calling thread lead, as `who`, if nobody does.
  [[nodiscard]] bool acquire_leadership(leader_id who) {
    std::thread::id none;
    if (!leading_thread_.compare_exchange_strong(none, std::this_thread::get_id())) return false;
    terms_.store(terms_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    leader_ = who;
    return true;
  }

  /// Whether the calling thread leads.
  [[nodiscard]] bool is_leading() const {
    return leading_thread_.load(std::memory_order_relaxed) == std::this_thread::get_id();
  }

  /// No follower that was expected to lead will: the fallback poller shall, if nobody does.
  void call_fallback_poller();

  // -- the leader ---------------------------------------------------------------------------------

  /// Nobody leads from here on.
  void release_leadership();

  [[nodiscard]] leader_id leader() const { return leader_; }

  /// A follower was woken that will soon ask to lead: the fallback poller, if it leads, need not.
  void yield_to_follower() { yielded_ = true; }

private:
  enum class watch { awake, asleep, ending };

  void run_fallback_poller();
  void end_fallback_poller();
  bool is_to_lead();
  [[nodiscard]] bool nobody_leads() const { return leading_thread_.load() == std::thread::id{}; }

  polled& polled_;
  const std::chrono::milliseconds interval_;
  std::atomic<std::uint32_t> enlisted_{0};
  std::atomic<std::thread::id> leading_thread_{};
  std::atomic<std::uint32_t> terms_{0}; // how often somebody began to lead

  // The leader's.
  leader_id leader_ = leader_id::nobody;
  bool yielded_ = false;

  std::mutex watch_mutex_;
  std::condition_variable watch_changed_;
  std::atomic<watch> watch_{watch::awake};
  bool called_ = false;
  std::thread fallback_poller_;
};

} // namespace ropewalk
