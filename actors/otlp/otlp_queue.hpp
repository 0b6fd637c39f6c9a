#pragma once

#include "actors/stats/message_report.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace ropewalk {

/// Messages on their way to a collector: at most so many bytes of them. What finds no room is
/// dropped and counted, and so is a batch that the collector does not want. Decides when the next
/// batch is tried. Pure, and for one thread at a time.
class otlp_queue {
public:
  static constexpr std::size_t max_batch = 512;
  static constexpr std::uint64_t max_bytes = 8 * 1024 * 1024;
  static constexpr milliseconds batch_interval{1000}; ///< a batch that is not full waits so long
  static constexpr milliseconds first_pause{1000};    ///< after a failure; doubles
  static constexpr milliseconds longest_pause{30'000};
  static constexpr milliseconds give_up_after{60'000}; ///< a batch that fails for so long

  struct counts {
    std::uint64_t exported = 0;
    std::uint64_t dropped = 0;
  };

  void push(message_report&& what, instant now);

  /// When `begin` is to be asked next; nothing: not before something is pushed.
  [[nodiscard]] std::optional<instant> due() const;

  /// From now on a batch that is not full does not wait.
  void hurry() { hurried_ = true; }

  /// The batch that is to be sent now; null if it is too early. It stays here until one of those
  /// below is called.
  [[nodiscard]] const std::vector<message_report>* begin(instant now);

  /// The collector has it, but for so many that it refused.
  void delivered(std::uint64_t refused = 0);

  /// It will not take it, ever.
  void refused();

  /// Perhaps later; not before `after`, if it said so.
  void failed(instant now, std::optional<milliseconds> after);

  [[nodiscard]] const counts& totals() const { return counts_; }
  [[nodiscard]] bool empty() const { return waiting_.empty() && batch_.empty(); }

private:
  std::deque<message_report> waiting_;
  std::vector<message_report> batch_;
  std::uint64_t bytes_ = 0; // of both
  instant first_{};         // when the oldest of `waiting_` came, or earlier
  instant begun_{};         // when `batch_` was tried first
  instant next_try_{};
  milliseconds pause_{first_pause};
  bool hurried_ = false;
  counts counts_;
};

} // namespace ropewalk
