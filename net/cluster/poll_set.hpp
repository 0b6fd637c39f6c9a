#pragma once

#include "net/cluster/loop_source.hpp"

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <unordered_map>

namespace ropewalk {

/// Descriptors of one owner at the event loop, with a timer of its own: an epoll instance within
/// the loop's, so that others than CAF's handlers can wait for reading and writing. All members run
/// on the loop's thread.
class poll_set final : public loop_source {
public:
  /// How long all that is ready may be served in a turn of the loop: so long, and up to twenty times
  /// that if the rest of the loop has taken very long since. What is left comes first in the next turn.
  /// Zero: it is all served.
  using budget = std::chrono::microseconds;

  explicit poll_set(shared_loop& loop, budget turn = {});

  /// Begins, and ends; in between the loop may call, and keeps it alive.
  static std::shared_ptr<poll_set> open(shared_loop& loop, budget turn = {});
  void close();

  /// When it last took more than ten budgets to serve all that was ready once; the epoch: never.
  [[nodiscard]] std::chrono::steady_clock::time_point last_crowded() const { return last_crowded_; }

  /// Names a descriptor here; never used twice. 0: none.
  using id = std::uint64_t;

  /// Calls `what` with what epoll says as long as one of `events` (EPOLLIN, EPOLLOUT), an error or a
  /// hang-up is there. To be forgotten before the descriptor is closed. 0: it cannot be watched
  /// (errno says why), and nothing is called.
  [[nodiscard]] id watch(int fd, std::uint32_t events,
                         std::function<void(std::uint32_t events)> what);
  void change(id which, std::uint32_t events);

  /// Calls it once more in its turn, though epoll has nothing to say of it: there are bytes that were
  /// taken from the kernel already. Only of a set with a budget.
  void serve_again(id which);

  /// Nothing is called for it from here on, whatever had happened. `which` becomes 0.
  void forget(id& which);

  /// Once anything was called here, or `expect_look` was, calls `look` every so often until it is
  /// false: whatever changes what there is to wait for comes from there. Once, at the beginning.
  void look_every(std::chrono::milliseconds interval, std::function<bool()> look);
  void expect_look();

private:
  struct watched {
    int fd = -1;
    std::shared_ptr<const std::function<void(std::uint32_t)>> what;
    std::uint64_t round = 0; // in which it was served last
    bool again = false;      // is in `again_`
  };

  void on_readable() override;
  void on_removed() override;
  void on_timer();
  void set_timer(std::chrono::milliseconds interval);
  int serve(int most);
  bool serve_next();
  void serve_within_budget();
  void call(id which, std::uint32_t events);
  void expect_turn();
  void begin_round();

  const budget turn_;
  std::chrono::steady_clock::time_point last_end_{}; // of a turn here
  std::chrono::steady_clock::time_point last_crowded_{};
  // In a round all that is ready is served once.
  std::uint64_t round_ = 1;
  std::chrono::steady_clock::duration round_took_{};
  std::unordered_map<id, watched> watched_;
  std::deque<id> again_; // some may be forgotten
  bool again_is_next_ = false;
  bool expects_turn_ = false;
  id last_id_ = 0;
  std::function<bool()> look_; // none: there is no timer
  std::chrono::milliseconds look_interval_{};
  bool looks_ = false;
  int timer_ = -1;
  id timer_watch_ = 0;
  std::shared_ptr<poll_set> alive_; // while the loop may call
};

} // namespace ropewalk
