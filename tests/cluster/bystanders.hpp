#pragma once

#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <cstdint>
#include <string>

namespace ropewalk {

/// Whatever somebody does to the broker, the others are answered.
inline void others_are_served(const cluster& c) {
  load l{c.connect(), "echo", 200, 10, [](std::uint64_t id) { return std::to_string(id); }};
  l.run(10s);
  REQUIRE(l.answered == 200);
}

// Under the address sanitizer memory has another size; there the tests look for crashes only.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr std::uint64_t slack_kib = 4 << 20;
#else
inline constexpr std::uint64_t slack_kib = 32 << 10;
#endif

} // namespace ropewalk
