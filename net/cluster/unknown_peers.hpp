#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>

namespace ropewalk {

/// Connections at the cluster port of which it is not known yet whose they are: hands are not
/// shaken, by TLS or by BASP. Who connects and says nothing must not keep workers out or take their
/// descriptors: only so many may wait, the latest ones, and each for so long. Does no I/O.
class unknown_peers {
public:
  using time_point = std::chrono::steady_clock::time_point;

  struct limits {
    std::size_t max_peers = 0;
    std::chrono::milliseconds time{}; ///< that each has
  };

  explicit unknown_peers(const limits& l) : limits_(l) {}

  /// Who waits no longer, and why; called at most once, and not after `forget`.
  using give_up = std::function<void(const std::string& why)>;

  /// A newcomer, which takes the place of the oldest if there are too many. Returns its number.
  std::uint64_t add(time_point now, give_up tell);

  /// It is known now, or gone.
  void forget(std::uint64_t number);

  /// Gives up those whose time is over.
  void check(time_point now);

  /// When the next one's time is over; nothing if nobody waits.
  [[nodiscard]] std::optional<time_point> next_end() const;

  [[nodiscard]] std::size_t size() const { return waiting_.size(); }

private:
  struct peer {
    std::uint64_t number;
    time_point end;
    give_up tell;
  };

  void give_up_oldest(const std::string& why);

  const limits limits_;
  std::deque<peer> waiting_; // in the order in which they came, which is that of their ends
  std::uint64_t last_number_ = 0;
};

} // namespace ropewalk
