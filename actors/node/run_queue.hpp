#pragma once

#include "actors/node/fifo.hpp"
#include "actors/node/start_lease.hpp"
#include "actors/stats/run_counts.hpp"
#include "actors/time/instant.hpp"
#include "actors/time/mean_run_time.hpp"
#include "net/loop/leader_followers.hpp"
#include "net/protocol/batch.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

namespace ropewalk {

/// One service's messages on a node, between the gateway (one thread) and the slots (a thread
/// each): the gateway puts messages in, in the order in which they came; free slots take one at a
/// time; answers collect until the gateway fetches them. This is the one piece of state that actors
/// share: a CAF message per request would cost more than many a handler. Actors are told only of
/// changes: a slot that there is work, the gateway that there are answers.
///
/// Messages of all shards of a broker wait in one line; a shard's answers collect by themselves,
/// and a token means something only to the shard that gave it.
class run_queue {
public:
  using shard_number = std::uint16_t;

  /// An attempt, and which shard's it is.
  struct origin {
    shard_number shard = 0;
    attempt_ref attempt;

    friend bool operator==(const origin&, const origin&) = default;
  };

  /// A slot's place: what it runs. A slot that is started anew takes a new one.
  class seat {
  public:
    seat(leader_id me, std::uint32_t slot) : me_(me), slot_(slot) {}

    /// As who the slot leads at the event loop.
    [[nodiscard]] leader_id me() const { return me_; }

    /// Nobody wants what ran here last, or somebody else has the place (has_place).
    [[nodiscard]] bool is_stopped() const { return stop.load(std::memory_order_relaxed); }

  private:
    friend class run_queue;
    const leader_id me_;
    const std::uint32_t slot_;
    bool idle = true;
    bool running = false;
    bool forgotten = false; // nobody wants what is running
    bool given_up = false;  // another slot has the place
    origin runs;            // what is running
    instant since{};        // when that began
    std::atomic<bool> stop{false};
  };

  /// A run that takes longer is told to the other shards (held_by_others): shorter ones are over
  /// before that would help.
  static constexpr milliseconds long_run{4};

  /// What runs messages: threads that block, or processes that the event loop attends to, for which
  /// nothing is won by waking fewer of them or by holding back the news of answers.
  enum class slots_are : std::uint8_t { threads, attended_to };

  /// `lease` says whether anything may be started; null: always. It must live as long as this.
  explicit run_queue(std::uint32_t slots, std::shared_ptr<const start_lease> lease = nullptr,
                     slots_are what = slots_are::threads);

  /// Called for each run that did not end well, by the thread that says so. Set it before any runs.
  using when_failed = std::function<void(const answer_item& answer, instant now)>;
  void watch_failures(when_failed watcher) { when_failed_ = std::move(watcher); }

  [[nodiscard]] std::uint32_t slots() const { return static_cast<std::uint32_t>(seats_.size()); }

  // -- the gateway's side -------------------------------------------------------------------------

  /// Numbers of slots that must be woken, in memory of this queue that is written again by the next
  /// call that returns some.
  using slots_to_wake = std::span<const std::uint32_t>;

  /// Appends messages, which are moved away, and were sent at `sent`, by this node's clock. Returns
  /// the slots that must be woken for them; the one that leads, if it is of this service, looks by
  /// itself and is not among them.
  [[nodiscard]] slots_to_wake push(shard_number shard, std::span<work_item> items, instant sent,
                                   instant now, leader_id leader = leader_id::nobody);

  /// Returns every idle slot for which there is a message: what short messages were expected to do
  /// without.
  [[nodiscard]] slots_to_wake rouse();

  /// All answers for a shard since the last call.
  batch take_answers(shard_number shard);

  /// Nobody wants these attempts' answers: those that have not started are taken out and returned,
  /// those that run are told to stop.
  std::vector<attempt_ref> withdraw(shard_number shard, const std::vector<attempt_ref>& attempts);

  /// The node was told to leave.
  void leave() { leaving_ = true; }
  [[nodiscard]] bool leaving() const { return leaving_; }

  /// Takes out everything that has not started.
  std::vector<origin> take_waiting();

  /// Takes out everything that has not started if every slot is busy and none has come to an end
  /// for `min_time`, and three times as long as it usually takes until one does: what was
  /// handed out ahead must not wait behind a long message.
  std::vector<origin> take_stalled(instant now, microseconds min_time);

  /// Nobody wants what the shard asked for, nor the answers: it is gone.
  void forget(shard_number shard);

  /// What the slot is running, as a number that stays the same through a message's attempts and is
  /// hardly another message's; nothing if it is idle.
  [[nodiscard]] std::optional<std::uint64_t> message_in(std::uint32_t slot) const;

  /// When the slot began what it runs, if nobody wants that any more.
  [[nodiscard]] std::optional<instant> unwanted_run(std::uint32_t slot) const;

  /// The slot's actor died, or another takes its place: what it was running, if it was. The slot
  /// counts as busy until `revived`.
  std::optional<origin> slot_died(std::uint32_t slot);

  /// A new actor has the slot; true if there is work for it.
  bool slot_revived(std::uint32_t slot);

  /// Adds an answer that no slot gave; the gateway fetches it with the others.
  void add_answer(shard_number shard, const answer_item& item);

  struct counts {
    std::size_t waiting = 0;
    std::size_t running = 0; ///< and wanted
  };
  [[nodiscard]] counts count() const;

  /// What there is and what was, for who asks now and then: walks over what waits.
  struct report {
    run_counts runs;
    std::uint64_t waiting = 0;
    std::uint64_t waiting_bytes = 0;
    std::uint32_t busy = 0; ///< slots that run something, wanted or not
  };
  [[nodiscard]] report take_report() const;

  /// Slots that have been running for long what other shards asked for: to this one they are as
  /// good as gone.
  [[nodiscard]] std::uint32_t held_by_others(shard_number shard, instant now) const;

  /// True if answers for a shard were not fetched yet.
  [[nodiscard]] bool has_answers(shard_number shard) const;

  /// True if messages take so little time that slots hold back the news of an answer for a moment,
  /// to say many at once: then the gateway looks by itself every now and then.
  [[nodiscard]] bool fast() const { return fast_.load(std::memory_order_relaxed); }

  /// True if its slots are processes which the event loop attends to.
  [[nodiscard]] bool is_attended_to() const { return slots_are_ == slots_are::attended_to; }

  // -- a slot's side ------------------------------------------------------------------------------

  struct job {
    work_item item;
    instant deadline;
    const std::atomic<bool>* stop = nullptr; ///< becomes true when nobody wants the answer any more
  };

  /// A new actor takes the slot's place, before it is announced (slot_revived). `me`: its own
  /// number at the event loop, which no other seat has.
  std::shared_ptr<seat> take_seat(std::uint32_t slot, leader_id me);

  /// The next message for who sits here, now running there; false: there is none, or none may be
  /// started, and the slot is idle until it is woken.
  bool next(seat& me, instant now, job& into);

  /// The message that ran here has ended. True if the gateway must be told that there are answers.
  bool finish(seat& me, const answer_item& answer, instant now);

  struct after_run {
    bool has_next = false;       ///< `into` is the next message, now running
    bool notify_gateway = false; ///< there are answers of which it must be told
  };

  /// Both in one go, as a slot that works does.
  after_run finish_and_next(seat& me, const answer_item& answer, instant now, job& into);

  /// False if another actor has taken the place.
  [[nodiscard]] bool has_place(const seat& me) const;

private:
  struct waiting_item {
    work_item item;
    instant deadline;
    shard_number shard;
  };

  void note_failure(const answer_item& answer, instant now) const {
    const bool well = answer.code == error_code::ok && answer.end == item_end::answered;
    if (!well && when_failed_) [[unlikely]]
      when_failed_(answer, now);
  }
  bool take_next(seat& me, instant now, job& into);
  bool end_run(seat& me, const answer_item& answer, instant now);
  batch_builder& answers_for(shard_number shard);
  [[nodiscard]] std::size_t slots_for(std::size_t messages) const;
  std::size_t wake_idle(std::size_t wanted, leader_id leader);

  const std::shared_ptr<const start_lease> lease_;
  const slots_are slots_are_;
  when_failed when_failed_;
  mutable std::mutex mutex_;
  fifo<waiting_item> waiting_;
  std::vector<std::shared_ptr<seat>> seats_;
  std::vector<std::uint32_t> to_wake_; // what push or rouse returned last
  std::vector<batch_builder> answers_; // by shard
  std::uint32_t unannounced_ = 0;      // answers of which the gateway was not told
  instant first_unannounced_{};
  instant last_progress_{}; // when a slot last came to an end, or was woken
  bool announced_ = false;  // and has not fetched them yet
  mean_run_time mean_{0};   // as if all had been quick so far
  run_counts runs_;
  std::atomic<bool> fast_{false};
  std::atomic<bool> leaving_{false};
};

} // namespace ropewalk
