#pragma once

#include "actors/time/instant.hpp"
#include "net/protocol/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

/// What may be said of one service of a node besides its handler. Names, units, bounds and reasons:
/// service_options.cpp.
struct service_options {
  std::uint32_t slots = 0;     ///< 0: as many as the node has
  std::uint32_t processes = 0; ///< of a program that stays up; 0: one a slot
  milliseconds start_timeout{60'000};
  milliseconds stop_timeout{5'000};
  std::uint64_t recycle_after = 0;      ///< requests; 0: never
  std::string folder;                   ///< empty: where the worker was started
  std::vector<std::string> environment; ///< NAME=VALUE, in place of those of the worker
};

/// Sets one by its name, as people write it. `stays_up`: whether the service's handler does. The
/// failure says what would do.
result<void> set_service_option(service_options& in, bool stays_up, std::string_view name,
                                const std::string& value);

[[nodiscard]] std::vector<std::string> service_option_names();

/// All of them, a line each.
std::string service_options_usage();

} // namespace ropewalk
