#pragma once

#include "actors/settings/control_groups.hpp"
#include "actors/settings/tuning.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace ropewalk {

/// What a process may use of its machine: the defaults of some settings follow it.
struct machine_share {
  std::uint32_t processors = 1;        ///< on which it may run
  std::optional<double> quota;         ///< how many processors' time it gets of them; nothing: all
  std::optional<std::uint64_t> memory; ///< in bytes; nothing: it is not known

  /// This process's: its affinity, its control groups, its limit on addresses (`ulimit -v`), and
  /// what memory the machine has.
  static machine_share of_this_process(const control_groups& groups = control_groups{});

  /// As many slots as there are processors to run them, of which a part counts as one.
  [[nodiscard]] std::uint32_t slots() const;
};

/// How much memory a process that is started now would find, in bytes: of the machine, and of this
/// process's control groups. Nothing: it is not known.
std::optional<std::uint64_t> free_memory(const control_groups& groups = control_groups{});

/// Lowers the defaults of what a broker may hold to what `memory` bytes have room for: half of them
/// for requests, a quarter for answers, the rest is for everything else. A setting of which
/// `was_said` says so stays as it is. Returns what it has lowered, for the log; empty: nothing.
std::string fit_memory(broker_tuning& settings, std::uint64_t memory,
                       const std::function<bool(std::string_view name)>& was_said);

} // namespace ropewalk
