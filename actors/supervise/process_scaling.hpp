#pragma once

#include "actors/time/instant.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>

namespace ropewalk {

/// How many more processes a service needs whose slots are a range (slots=MIN..MAX): as many as would
/// take what waits, but at most as many again as there are. Pure.
///
/// What waits for a moment is no reason: most messages wait for a slot that is about to be free. It
/// has to wait for `hesitation`, and the processes that are on their way are expected to take some.
class process_scaling {
public:
  static constexpr milliseconds hesitation{100};

  struct load {
    std::uint64_t waiting = 0;       ///< requests, at the brokers and on the node
    std::uint32_t ready = 0;         ///< processes
    std::uint32_t starting = 0;      ///< processes that are not ready yet
    std::uint32_t down = 0;          ///< processes that may be started
    std::uint32_t slots_of_each = 1; ///< of a process, at the most
  };

  /// To be asked every so often, whether anything waits or not.
  [[nodiscard]] std::uint32_t to_start(const load& now_is, instant now) {
    if (now_is.waiting == 0) {
      waiting_since_.reset();
      return 0;
    }
    if (!waiting_since_) waiting_since_ = now;
    if (now - *waiting_since_ < hesitation) return 0;
    const auto each = std::max(now_is.slots_of_each, 1u);
    const auto wanted = (now_is.waiting + each - 1) / each;
    const auto coming = std::uint64_t{now_is.starting};
    const auto may_come = std::max(now_is.ready, 1u);
    if (coming >= wanted || coming >= may_come) return 0;
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(std::min<std::uint64_t>(wanted, may_come) - coming, now_is.down));
  }

private:
  std::optional<instant> waiting_since_;
};

} // namespace ropewalk
