#pragma once

#include "actors/dispatch/index_pool.hpp"
#include "actors/dispatch/request.hpp"
#include "actors/dispatch/retry_budget.hpp"

#include <array>
#include <cstdint>
#include <vector>

namespace ropewalk {

/// What waits for one service's slots, and which of it goes next:
///
/// 1. what lost its worker, as far as the retry budget goes: it came first;
/// 2. what came back unstarted: it had its turn already;
/// 3. the rest by priority: while all three wait, 16 high, 4 normal and 1 low, so that none
///    starves; within a priority the connections take turns, so that a client with a million
///    requests does not keep one with a single request waiting.
///
/// Every operation costs the same however much waits.
class service_queue {
public:
  explicit service_queue(std::uint32_t retry_share) : budget_(retry_share) {}

  /// Appends a request to its connection's turn; it says where in `flow`. `flow` of the connection:
  /// see `open_flow`.
  void add(request_table& all, std::uint32_t index, std::uint32_t flow);

  /// It had been placed and was not started.
  void add_returned(request_table& all, std::uint32_t index);

  /// It had been placed, and its worker was lost while running it.
  void add_retry(request_table& all, std::uint32_t index);

  /// Takes one out, wherever it waits.
  void remove(request_table& all, std::uint32_t index);

  /// Takes out the one that goes next; no_index if none may go now.
  std::uint32_t take(request_table& all, instant now);

  /// A connection's turn at a priority. It costs nothing while nothing waits in it, and must be
  /// empty when it is closed.
  std::uint32_t open_flow(ropewalk::priority at);
  void close_flow(std::uint32_t flow);

  /// Its connection has gone: what waits in it goes nowhere any more, and is only to be removed.
  void retire_flow(std::uint32_t flow);

  [[nodiscard]] std::uint32_t size() const { return size_; }

  /// Those that may go, or may when there is budget for them: not what waits in retired flows.
  [[nodiscard]] std::uint32_t ready() const { return size_ - retired_; }
  [[nodiscard]] bool empty() const { return ready() == 0; }

  /// Waits for nothing but the retry budget, and so for time.
  [[nodiscard]] std::uint32_t retries() const { return retries_.size(); }

  /// Any of those that may go, for who takes them all out; no_index if there is none.
  [[nodiscard]] std::uint32_t any() const;

  /// How many of those that wait go before this one, about: what came back, its own connection's
  /// earlier ones, and the others' by turns and priorities. Looks at no more than `max_walk` requests.
  static constexpr std::uint32_t max_walk = 10'000;
  [[nodiscard]] std::uint32_t before(const request_table& all, std::uint32_t index) const;

  retry_budget& budget() { return budget_; }

  template <class F>
  void for_each_list(F&& f) const {
    f(returned_);
    f(retries_);
    for (const auto& flow : flows_) f(flow.waiting);
  }

private:
  struct flow {
    request_list waiting;
    std::uint32_t next = no_index, previous = no_index; // in the ring of those that wait
    ropewalk::priority at = ropewalk::priority::normal;
    bool retired = false;
  };

  struct level {
    std::uint32_t turn = no_index; // the flow whose turn it is; no_index: nothing waits
    std::uint64_t pass = 0;        // stride scheduling (Waldspurger and Weihl, 1995)
  };

  void enter_ring(std::uint32_t which);
  void leave_ring(std::uint32_t which);
  [[nodiscard]] level* next_level();

  request_list returned_;
  request_list retries_;
  std::array<level, priorities> levels_;
  std::vector<flow> flows_;
  index_pool free_flows_;
  std::uint64_t pass_ = 0; // of the level that went last
  std::uint32_t size_ = 0;
  std::uint32_t retired_ = 0; // of those, in retired flows
  retry_budget budget_;
};

} // namespace ropewalk
