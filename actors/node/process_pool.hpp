#pragma once

#include "actors/messages.hpp"
#include "actors/node/fork_server.hpp"
#include "actors/node/handler_process.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/node/start_pause.hpp"
#include "actors/supervise/process_scaling.hpp"
#include "actors/supervise/restart_policy.hpp"
#include "actors/time/clock.hpp"

#include <caf/io/broker.hpp>
#include <memory>
#include <vector>

namespace ropewalk {

/// What a process pool needs to know.
struct process_pool_settings {
  std::uint16_t service = 0;
  std::uint32_t slots = 1;
  handler_process::settings process; ///< of each; `number` is the pool's to set
  restart_policy::settings restarts;
};

/// Supervises the processes of one service whose handler stays up, one_for_one, and hands them the
/// messages of its queue: in place of a pool with its slots. Each process has the slots n, n +
/// processes, n + 2 * processes, ... (so that the lowest idle ones, which a queue takes first, are
/// of different processes); those are offered to the broker while it is ready, and as many as it
/// takes at a time.
///
/// A process that had answered something and ends is started again at once. One that was ready and
/// ends before it has answered anything, after the policy's pause; too many of these in the policy's
/// window, with no answer of any process among them, end the pool with an error, and its node
/// decides what then: messages that kill are charged with that, and are no crash loop while others
/// are answered. What cannot be started, or
/// ends before it is ready, is tried again for ever, with a longer pause each time: nothing was lost
/// by it, since nothing was offered.
///
/// A process is replaced (after `recycle-after` requests or `recycle-age`, when it has more than
/// `max-memory`, or when all are: reload) by one that is ready before the other gets no more; if
/// that never is, the other goes on.
///
/// With a range of slots only as many processes are there as MIN slots want, and more while requests
/// wait, at the brokers or here, and there is memory for them: about what the largest has, twice.
/// Those that have run nothing for `idle-time` are ended.
///
/// The first process is started alone: it may say that it is a fork server (fork_server.hpp), from
/// which all others are forked then.
///
/// A CAF broker without sockets, so that it runs on the event loop's thread like the gateway; it
/// never blocks, and has no thread a slot.
class process_pool final : public caf::io::broker,
                           private handler_process::owner,
                           private fork_server::owner {
public:
  process_pool(caf::actor_config& config, process_pool_settings settings,
               std::shared_ptr<run_queue> queue, caf::actor gateway, caf::actor node,
               shared_loop* loop);
  const char* name() const override { return "process_pool"; }

protected:
  caf::behavior make_behavior() override;
  void on_exit() override;

private:
  using slot_number = std::uint32_t;

  // Where a slot is. A queue may wake those that are idle; what it wakes them for comes as (run).
  enum class slot_is : std::uint8_t {
    closed, // not offered: its process is down, or takes fewer
    idle,   // waits for the queue to wake it
    held,   // free, and waits until its process may have more (member::held)
    parked, // has what is to run alone, and waits for that (member::parked)
    running // a process has its message: its member's, or the one before that
  };

  struct place { // a slot's
    std::shared_ptr<run_queue::seat> seat;
    slot_is is = slot_is::closed;
    work_head runs;       // whose payload is with the process
    bool limited = false; // it may run for its service's timeout, which ends before its deadline
  };

  struct member {
    std::unique_ptr<handler_process> process;
    std::unique_ptr<handler_process> next; // is to take its place, once it is ready
    std::unique_ptr<handler_process> old;  // gave its place up, and ends what it runs
    std::vector<std::unique_ptr<handler_process>> ending; // run nothing any more
    std::vector<slot_number> offered;                     // in ascending order; those of `process`
    std::vector<slot_number> held;
    std::optional<slot_number> parked;
    run_queue::job parked_job;
    instant parked_since{};
    std::optional<instant> start_at; // of `process`, which is down; or, if `replaces`, of `next`
    bool replaces = false;           // a replacement is wanted
    bool replaces_again = false;     // and another one, of what is there by now
    bool wanted = false;             // is to be there: of a range of slots, not all are
    instant used{};                  // when it last ran something
    std::uint64_t asked_then = 0;    // requests, when that was looked at last
    start_pause pause;               // of starts that came to nothing
    backoff restart{milliseconds{20}, milliseconds{5000}, 1}; // of ends after it was ready
    bool dirty = false;                                       // has something to flush
  };

  // handler_process::owner
  void on_ready(handler_process& which, std::uint32_t concurrency) override;
  void on_answer(handler_process& which, process_load::ended what, error_code code,
                 shared_bytes&& payload) override;
  void on_down(handler_process& which, handler_process::ending&& how) override;
  void on_forked(handler_process&, std::uint64_t, pid_t, const std::string&) override {}
  [[nodiscard]] bool is_leaving() const override { return queue_->leaving(); }

  // fork_server::owner
  void on_fork_server_ready(bool fresh) override;
  void on_fork_answered(std::uint64_t id, pid_t pid, const std::string& why) override;
  void on_no_fork_server() override;

  static answer_item answer_to(const work_head& what);
  [[nodiscard]] bool may_begin(const member& m) const;
  [[nodiscard]] bool is_worn(const member& m) const;
  [[nodiscard]] std::uint64_t sooner(const member& m, std::uint64_t most) const;
  void explain_end(const place& at, answer_item& answer) const;
  void run(const std::vector<slot_number>& slots);
  void take_next(member& m, slot_number slot, instant now);
  bool begin(member& m, slot_number slot, run_queue::job& job, instant now);
  void ask(member& m, slot_number slot, run_queue::job& job, instant now);
  void end(slot_number slot, answer_item& answer, instant now);
  void end_and_take_next(member& m, slot_number slot, answer_item& answer, instant now);
  void fill(member& m, slot_number slot, instant now);
  void hold(member& m, slot_number slot);
  void open(member& m, const std::vector<slot_number>& slots);
  void close(member& m, const std::vector<slot_number>& slots, std::uint32_t restarts);
  void unpark(member& m, item_end how, error_code code, instant now);
  void check_parked(member& m, instant now);
  void go_on(member& m, instant now);
  void close_all(member& m, std::uint32_t restarts, instant now);
  void replace(member& m);
  void swap_in(member& m);
  void end_old(member& m, instant now);
  static std::vector<handler_process*> all_of(const member& m);
  void offer(member& m, std::vector<slot_number> slots);
  void answer_for(const std::vector<process_load::verdict>& runs, const std::string& why,
                  instant now);
  std::unique_ptr<handler_process> make_process(std::uint32_t number);
  [[nodiscard]] bool is_elastic() const { return settings_.process.options.min_slots > 0; }
  [[nodiscard]] std::size_t min_processes() const;
  [[nodiscard]] bool has_memory_for_another(std::size_t starting, instant now);
  void start_more(instant now);
  void start_one_more(member& m, instant now);
  void end_idle(instant now);
  void start(handler_process& which, instant now);
  void start_others(instant now);
  bool may_start(member& m, instant now);
  void fork_from(handler_process& server);
  void check_fork_servers(instant now);
  void replace_all();
  [[nodiscard]] bool is_spent(const member& m) const;
  void end_spent(member& m, instant now);
  void start_due(member& m, instant now);
  void schedule_start(member& m, const handler_process::ending& how);
  void try_start_again(member& m, const handler_process::ending& how);
  void count_ready(std::uint32_t number);
  void touch(member& m);
  void flush();
  bool check_time();
  [[nodiscard]] bool needs_time() const;
  void beat();
  void expect_beat();
  void check_age(member& m, instant now);
  void drain();
  void tell_drained();
  caf::result<std::uint64_t, std::uint64_t, std::uint32_t> report();
  void answer_reports();
  void give_up();
  [[nodiscard]] member& of(const handler_process& which) { return members_[which.what().number]; }
  [[nodiscard]] member& of(slot_number slot) { return members_[slot % members_.size()]; }

  process_pool_settings settings_;
  std::shared_ptr<run_queue> queue_;
  caf::actor gateway_;
  caf::actor node_; // is notified once that all are ready, and of starts in vain until then
  shared_loop* loop_;
  std::shared_ptr<poll_set> polls_;
  std::unique_ptr<char[]> buffer_;
  restart_policy policy_;
  start_failures failures_; // starts, of which some are logged
  start_failures ends_;     // ends, likewise
  std::vector<place> places_;
  std::vector<member> members_;
  std::vector<std::uint32_t> dirty_;                     // members
  std::vector<std::unique_ptr<handler_process>> gone_;   // are over; not destroyed from within
  std::unique_ptr<fork_server> forks_;                   // none: processes are started
  std::vector<std::unique_ptr<fork_server>> forks_gone_; // come to their ends
  bool others_started_ = false; // all but the first, of which it is known how
  caf::response_promise drained_;
  std::vector<caf::response_promise> reports_; // that are due when the memory is known
  std::uint64_t recycles_ = 0;
  process_scaling scaling_;
  std::vector<std::uint32_t> waiting_; // requests, at each shard of the broker
  start_failures short_of_memory_; // starts that there was no memory for, of which some are logged
  std::vector<bool> were_ready_;   // members; empty: all were, and the node knows
  bool ended_in_vain_ = false;     // a process has, since the last answer
  bool notify_gateway_ = false;
  bool draining_ = false;
};

} // namespace ropewalk
