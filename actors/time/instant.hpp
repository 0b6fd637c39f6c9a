#pragma once

#include <chrono>

namespace ropewalk {

/// A point in time as the deciding code knows it: always an argument, never asked for.
using instant = std::chrono::steady_clock::time_point;
using std::chrono::microseconds;
using std::chrono::milliseconds;

} // namespace ropewalk
