#pragma once

#include "net/cluster/shared_loop.hpp"

#include <caf/all.hpp>

namespace ropewalk {

/// A system whose loop is shared, and that has started.
struct shared_system {
  shared_system() { loop.start(); }

  struct config : caf::actor_system_config {
    config() {
      set("scheduler.max-threads", std::size_t{1});
      shared_loop::use_for(*this);
    }
  } settings;
  caf::actor_system system{settings};
  shared_loop& loop = shared_loop::of(system);
};

} // namespace ropewalk
