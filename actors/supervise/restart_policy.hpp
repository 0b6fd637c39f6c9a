#pragma once

#include "actors/random/random_source.hpp"
#include "actors/time/instant.hpp"

#include <cstdint>
#include <deque>
#include <optional>

namespace ropewalk {

/// When a fallen child is started again, as in Erlang/OTP: after a pause that doubles with every
/// restart in the window and has some jitter (so that many do not come back in step), and not at
/// all once there were too many in the window: then the supervisor gives up and its own supervisor
/// decides. Pure: the time is an argument.
class restart_policy {
public:
  struct settings {
    std::uint32_t restarts = 5;
    milliseconds window{10'000};
    milliseconds first_pause{
        20}; ///< the first restart is nearly at once: most falls are a single bad message
    milliseconds longest_pause{5000};
    double jitter = 0.2; ///< of the pause, either way
  };

  explicit restart_policy(const settings& with, std::uint64_t seed = 1)
      : with_(with), random_(seed) {}

  /// A child fell at `now`. How long to wait before it is started again; nothing: give up. `cause`:
  /// the message that it fell of, if that is known. What falls of one and the same message in the
  /// window counts as once, though each time the pause is longer: a message is started only so often
  /// (--attempts), and must not use up what its service has. Children that fall of one message after
  /// the other are a loop, as are those that fall of none.
  std::optional<milliseconds> on_exit(instant now, std::optional<std::uint64_t> cause = {});

  /// It works: what fell before is no sign of a crash loop any more.
  void forget() { recent_.clear(); }

  /// Restarts granted so far, ever.
  [[nodiscard]] std::uint64_t restarts() const { return granted_; }

private:
  settings with_;
  random_source random_;
  struct fall {
    instant at;
    std::optional<std::uint64_t> cause;
    bool counts; // is not another of the same cause
  };
  std::deque<fall> recent_;
  std::uint64_t granted_ = 0;
};

/// How long to wait before trying again what must succeed some day, such as joining a broker:
/// doubles up to `longest`, with jitter, for ever.
class backoff {
public:
  backoff(milliseconds first, milliseconds longest, std::uint64_t seed)
      : first_(first), longest_(longest), random_(seed) {}

  milliseconds next();
  void reset() { tries_ = 0; }

private:
  milliseconds first_;
  milliseconds longest_;
  random_source random_;
  std::uint32_t tries_ = 0;
};

} // namespace ropewalk
