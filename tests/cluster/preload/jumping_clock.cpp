#include <ctime>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

/// Preloaded into a program (LD_PRELOAD): what its wall clock says jumps to and fro by a day, a
/// hundred times a second, as no administrator and no time server would ever do it. The clocks that
/// run evenly are left alone.

namespace {

constexpr long day = 86'400;

long jump(const timespec& at) {
  constexpr long hundredth = 10'000'000;
  return (at.tv_nsec / hundredth) % 3 * day - day; // a day ago, now, in a day
}

} // namespace

extern "C" int clock_gettime(clockid_t which, timespec* at) {
  const auto result = static_cast<int>(::syscall(SYS_clock_gettime, which, at));
  if (result == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
    at->tv_sec += jump(*at);
  return result;
}

extern "C" int gettimeofday(timeval* at, void*) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  *at = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

extern "C" time_t time(time_t* at) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
