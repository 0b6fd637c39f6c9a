#pragma once

#include "net/transport/socket.hpp"
#include "tests/catch.hpp"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace ropewalk {

/// The first of `count` ports in a row that are free, below those that the system gives out by
/// itself.
inline std::uint16_t free_ports(int count) {
  std::random_device random;
  for (int tries = 0; tries < 1000; ++tries) {
    const auto first = static_cast<std::uint16_t>(15'000 + random() % 15'000);
    std::vector<result<descriptor>> taken;
    for (int i = 0; i < count; ++i)
      taken.push_back(listen_tcp({"127.0.0.1", static_cast<std::uint16_t>(first + i)}));
    if (std::all_of(taken.begin(), taken.end(), [](const auto& t) { return static_cast<bool>(t); }))
      return first;
  }
  FAIL("no free ports");
  return 0;
}

} // namespace ropewalk
