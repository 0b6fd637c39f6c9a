#pragma once

#include <chrono>
#include <string>

/// The time as people have it. Nothing that decides is to know it: it jumps when somebody sets it.
namespace ropewalk {

/// A point of it: since 1970 began, in UTC.
using wall_time = std::chrono::milliseconds;

wall_time wall_now();

/// 2026-11-26T03:12:09.118Z
std::string utc_text(wall_time at);

} // namespace ropewalk
