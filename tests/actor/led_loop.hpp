#pragma once

#include "tests/actor/shared_system.hpp"

#include <thread>

namespace ropewalk {

/// A shared loop that the test leads.
struct led_loop : shared_system {
  led_loop() {
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
};

} // namespace ropewalk
