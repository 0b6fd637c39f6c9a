#pragma once

#include "actors/supervise/restart_policy.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/endpoint.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ropewalk {

struct service_settings {
  std::string name;
  std::string handler; ///< what stands behind NAME=
};

/// What `ropewalk worker` was told, for one node process.
struct node_settings {
  std::string name;
  std::string host;
  endpoint broker{"127.0.0.1", 7071};
  std::vector<service_settings> services;
  std::uint32_t slots = 1;
  std::size_t max_message_bytes = limits::max_message.standard;
  std::uint64_t recycle_after = 0; ///< messages; 0: never
  std::uint32_t restarts_before =
      0; ///< 1 if a master started this process in place of one that fell
  milliseconds drain_time{limits::drain.standard};
  restart_policy::settings restarts;
  int master_fd = -1; ///< where to tell a master "joined" and "recycle"; -1: there is none
};

} // namespace ropewalk
