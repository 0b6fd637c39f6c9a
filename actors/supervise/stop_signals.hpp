#pragma once

#include "actors/time/instant.hpp"
#include "net/protocol/limits.hpp"

#include <optional>

namespace ropewalk {

/// What a SIGTERM or SIGINT means: the first one asks for a drain; one that comes soon after it is
/// the same one, by another way (limits::second_signal_ms says why); a later one asks for the end
/// at once. Pure: the time is an argument.
class stop_signals {
public:
  enum class meaning { drain, same_again, end_at_once };

  meaning on_signal(instant now) {
    if (!first_) {
      first_ = now;
      return meaning::drain;
    }
    return now - *first_ < milliseconds{limits::second_signal_ms} ? meaning::same_again
                                                                  : meaning::end_at_once;
  }

  /// How long ago the first one came; zero if none has.
  [[nodiscard]] std::chrono::duration<double> since_first(instant now) const {
    return now - first_.value_or(now);
  }

private:
  std::optional<instant> first_;
};

} // namespace ropewalk
