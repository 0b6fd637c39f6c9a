#pragma once

#include "actors/handlers/registry.hpp"
#include "actors/settings/service_options.hpp"
#include "actors/settings/tuning.hpp"
#include "net/transport/endpoint.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

struct service_settings {
  std::string name;
  handler_spec handler;
  service_options options = {};

  friend bool operator==(const service_settings&, const service_settings&) = default;
};

/// What `ropewalk worker` was told, for one node process: its numbers, and what else it was told.
/// `slots` is how many there are: 0 has been replaced.
struct node_settings : node_tuning {
  std::string name;
  std::string host;
  endpoint broker{"127.0.0.1", 7071};
  std::vector<service_settings> services;
  std::uint64_t recycle_after = 0; ///< messages; 0: never
  /// 1 if a master started this process in place of one that fell.
  std::uint32_t restarts_before = 0;
  /// It takes the place of another of this process: it joins when all its services are ready.
  bool succeeds = false;
  int master_fd = -1; ///< where to tell a master "joined" and "recycle"; -1: there is none

  [[nodiscard]] std::uint32_t slots_of(const service_settings& service) const {
    return service.options.slots == 0 ? slots : service.options.slots;
  }
};

/// What a client hears whose message was ended by its service's timeout; `said`: by what ran it.
inline std::string over_timeout(milliseconds timeout, std::string_view said = {}) {
  return "it ran for longer than its service's timeout (" + std::to_string(timeout.count()) +
         " ms on this node)" + (said.empty() ? "" : ": " + std::string{said});
}

} // namespace ropewalk
