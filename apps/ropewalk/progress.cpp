#include "apps/ropewalk/progress.hpp"

#include "apps/ropewalk/display_text.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <unistd.h>

namespace ropewalk {

progress::progress(instant start)
    : progress(::isatty(STDERR_FILENO) == 1 ? &std::cerr : nullptr, start) {}

void progress::show(std::string_view what, double done, instant now) {
  next_ = now + interval;
  done = std::clamp(done, 0.0, 1.0);
  auto text = std::string{what} + ", " + std::to_string(std::lround(std::floor(100 * done))) + "%";
  if (done > 0) {
    const auto gone = std::chrono::duration<double>(now - start_).count();
    text += ", " + short_age(std::ceil(gone / done - gone)) + " left";
  }
  const auto width = text.size();
  // What was longer before is written over: not every terminal can erase.
  text.append(drawn_ - std::min(drawn_, width), ' ');
  *to_ << '\r' << text << std::flush;
  drawn_ = width;
}

void progress::hide() {
  if (drawn_ == 0) return;
  *to_ << '\r' << std::string(drawn_, ' ') << '\r' << std::flush;
  drawn_ = 0;
}

} // namespace ropewalk
