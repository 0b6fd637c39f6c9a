#include "actors/log/wall_clock.hpp"

#include <array>
#include <cstdio>
#include <ctime>

namespace ropewalk {

wall_time wall_now() {
  return std::chrono::duration_cast<wall_time>(std::chrono::system_clock::now().time_since_epoch());
}

std::string utc_text(wall_time at) {
  const std::time_t seconds = std::chrono::floor<std::chrono::seconds>(at).count();
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 32> date{};
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::array<char, 40> result{};
  std::snprintf(result.data(), result.size(), "%s.%03dZ", date.data(),
                static_cast<int>(at.count() - seconds * 1000));
  return result.data();
}

} // namespace ropewalk
