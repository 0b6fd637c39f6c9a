#pragma once

#include "actors/handlers/registry.hpp"
#include "actors/settings/service_options.hpp"
#include "actors/settings/tuning.hpp"
#include "net/transport/endpoint.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ropewalk {

struct service_settings {
  std::string name;
  handler_spec handler;
  service_options options = {};
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
  int master_fd = -1; ///< where to tell a master "joined" and "recycle"; -1: there is none

  [[nodiscard]] std::uint32_t slots_of(const service_settings& service) const {
    return service.options.slots == 0 ? slots : service.options.slots;
  }
};

} // namespace ropewalk
