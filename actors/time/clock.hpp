#pragma once

#include "actors/time/instant.hpp"

namespace ropewalk {

/// The time that it is, for actors, which tell what decides.
inline instant clock_now() {
  return std::chrono::steady_clock::now();
}

} // namespace ropewalk
