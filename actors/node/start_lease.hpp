#pragma once

#include "actors/time/instant.hpp"

#include <atomic>
#include <cstdint>
#include <limits>
#include <vector>

namespace ropewalk {

/// Whether a node may start messages now. What it holds may have been taken back, have expired, or
/// have been given to others while it stood still (SIGSTOP, a paused machine) or could not be
/// reached. So it starts something only while
///
/// 1. it has run without a gap: somebody calls `beat` every so often, and a slot that finds the
///    last beat too long ago starts nothing;
/// 2. every shard of its broker has confirmed that it is a member, in answer to a question that was
///    asked not longer ago than `length`: less than it takes until the broker gives it up.
///
/// After a gap it asks all shards. Their answers come behind all that they had sent before, so that
/// what was taken back meanwhile is known when they are there.
///
/// No clock is asked here. `allows` and `lapse`: any thread; everything else: the event loop's.
class start_lease {
public:
  /// How often `beat` is to be called.
  static constexpr milliseconds beat_interval{50};

  /// A longer time between two beats is a gap: a stop of 0.2 s is noticed, and a thread that waits
  /// for its turn on a busy machine mostly is none.
  static constexpr milliseconds largest_gap{150};

  /// How often the shards are asked.
  static constexpr milliseconds ask_interval{500};

  /// How long an answer holds, from when it was asked for: a broker gives up a node that it has not
  /// heard from for three seconds (middleman.connection-timeout).
  static constexpr milliseconds length{2500};

  /// May something be started?
  [[nodiscard]] bool allows(instant now) const {
    return now.time_since_epoch().count() < good_until_.load(std::memory_order_relaxed);
  }

  /// Time has gone by that `instant` does not show: the machine slept. Nothing is started until the
  /// shards have been asked anew.
  void lapse() {
    lapsed_.store(true);
    good_until_.store(never);
  }

  /// The node is a member of this shard from now on, as it has just heard. With no shard at all
  /// nothing is started.
  void attach(std::uint16_t shard, instant now);
  void detach(std::uint16_t shard);

  /// The node runs. True if the shards are to be asked now.
  [[nodiscard]] bool beat(instant now);

  /// A shard has answered what was asked then.
  void confirmed(std::uint16_t shard, instant asked);

private:
  static constexpr instant::rep never = std::numeric_limits<instant::rep>::min();

  struct member {
    bool attached = false;
    instant until{};      // its last confirmation holds
    instant not_before{}; // answers to earlier questions say nothing: there was a gap since
  };

  void reconsider();

  std::vector<member> shards_;
  instant last_beat_{};
  instant last_asked_{};
  std::atomic<bool> lapsed_{false};
  std::atomic<instant::rep> good_until_{never};
};

} // namespace ropewalk
