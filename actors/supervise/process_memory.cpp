#include "actors/supervise/process_memory.hpp"

#include <dirent.h>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <unistd.h>

namespace ropewalk {

namespace {

// More is a fork bomb, of which it is known that it is too much.
constexpr std::size_t max_processes = 1000;

// Below, it does not matter that what is shared is counted more than once.
constexpr std::uint64_t exact_from_bytes = 16 * 1024 * 1024;

std::string folder_of(pid_t pid) {
  return "/proc/" + std::to_string(pid);
}

// Those that any of its threads has started.
void add_children(pid_t of, std::vector<pid_t>& to) {
  const auto tasks = folder_of(of) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> threads{::opendir(tasks.c_str()), ::closedir};
  while (const auto* thread = threads ? ::readdir(threads.get()) : nullptr) {
    if (thread->d_name[0] == '.') continue;
    std::ifstream in{tasks + "/" + thread->d_name + "/children"};
    for (pid_t child = 0; in >> child;) to.push_back(child);
  }
}

std::uint64_t resident_bytes(pid_t pid) {
  std::ifstream in{folder_of(pid) + "/statm"};
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  in >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

// Of its own, and of what it has waited for: proc(5), the fields 14 to 17.
double cpu_seconds(pid_t pid) {
  constexpr int ends_before_utime = 12; // blanks, behind the name, which may have some, too
  std::ifstream in{folder_of(pid) + "/stat"};
  std::string text;
  std::getline(in, text, '\0');
  auto at = text.rfind(')');
  for (int i = 0; i < ends_before_utime && at != std::string::npos; ++i)
    at = text.find(' ', at + 1);
  if (at == std::string::npos) return 0;
  std::istringstream times{text.substr(at)};
  double result = 0;
  double ticks = 0;
  for (int i = 0; i < 4 && times >> ticks; ++i) result += ticks;
  return result / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Shared pages in parts; 0: it cannot be read.
std::uint64_t proportional_bytes(pid_t pid) {
  std::ifstream in{folder_of(pid) + "/smaps_rollup"};
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("Pss:"))
      return std::stoull("0" + line.substr(line.find_first_of("0123456789"))) * 1024;
  return 0;
}

} // namespace

std::uint64_t memory_of(std::vector<pid_t> processes, bool shares) {
  std::uint64_t resident = 0;
  for (std::size_t i = 0; i < processes.size() && i < max_processes; ++i) {
    resident += resident_bytes(processes[i]);
    add_children(processes[i], processes);
  }
  if ((processes.size() == 1 && !shares) || resident < exact_from_bytes) return resident;
  std::uint64_t exact = 0;
  for (const auto pid : processes) {
    const auto bytes = proportional_bytes(pid);
    exact += bytes > 0 ? bytes : resident_bytes(pid);
  }
  return exact;
}

double cpu_seconds_of(std::vector<pid_t> processes) {
  double result = 0;
  for (std::size_t i = 0; i < processes.size() && i < max_processes; ++i) {
    result += cpu_seconds(processes[i]);
    add_children(processes[i], processes);
  }
  return result;
}

} // namespace ropewalk
