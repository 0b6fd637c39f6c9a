#pragma once

#include "net/cluster/shared_loop.hpp"

#include <caf/all.hpp>
#include <thread>

namespace ropewalk {

// A loop that the test leads.
struct led_loop {
  led_loop() {
    loop.start();
    const auto me = loop.enlist();
    while (!loop.acquire_leadership(me)) {
      loop.post([this] { loop.yield_to_follower(); });
      std::this_thread::yield();
    }
  }
  ~led_loop() { loop.release_leadership(); }

  void turn() {
    loop.post([] {}); // or it would wait for something
    loop.handle_events();
  }

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
