#include "actors/broker/process_status.hpp"

#include <filesystem>
#include <fstream>
#include <sys/resource.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// To list a directory of so many descriptors takes about a millisecond of the event loop's time.
constexpr std::size_t counted_connections = 1000;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

std::uint64_t resident_bytes() {
  std::ifstream file{"/proc/self/statm"};
  std::uint64_t all = 0;
  std::uint64_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// The one by which they are counted is not counted.
std::uint64_t open_descriptors() {
  std::error_code failed;
  std::uint64_t result = 0;
  for (std::filesystem::directory_iterator one{"/proc/self/fd", failed}, end; !failed && one != end;
       one.increment(failed))
    ++result;
  return result > 0 ? result - 1 : 0;
}

} // namespace

process_numbers numbers_of_this_process(std::size_t connections) {
  process_numbers result;
  rusage used{};
  if (::getrusage(RUSAGE_SELF, &used) == 0)
    result.cpu_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
  result.resident_memory_bytes = resident_bytes();
  if (connections < counted_connections) result.open_fds = open_descriptors();
  rlimit descriptors{};
  if (::getrlimit(RLIMIT_NOFILE, &descriptors) == 0) result.max_fds = descriptors.rlim_cur;
  return result;
}

} // namespace ropewalk
