#include "actors/settings/control_groups.hpp"

#include "actors/settings/read_file.hpp"
#include "net/protocol/limits.hpp"

#include <algorithm>
#include <charconv>
#include <sstream>

namespace ropewalk {

namespace {

// Version 1 says "no limit" with a number that no machine has.
constexpr std::uint64_t no_limit = std::uint64_t{1} << 60;

bool names(std::string_view list, std::string_view one) {
  return (',' + std::string{list} + ',').find(',' + std::string{one} + ',') != std::string::npos;
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data() || value <= 0) return std::nullopt;
  return value;
}

template <class Number>
void lower(std::optional<Number>& to, std::optional<Number> other) {
  if (other && (!to || *other < *to)) to = other;
}

// "QUOTA PERIOD", in microseconds; a quota that is no number is none.
std::optional<double> share(const std::string& quota, const std::string& period) {
  const auto of = number<std::int64_t>(quota);
  const auto time = number<std::int64_t>(period);
  if (!of || !time) return std::nullopt;
  return static_cast<double>(*of) / static_cast<double>(*time);
}

} // namespace

control_groups::control_groups(std::string root) : root_(std::move(root)) {
  std::istringstream mounts{read("/proc/self/mountinfo")};
  for (std::string line; std::getline(mounts, line);) add_mount(line);
  // Without a /proc: where they are everywhere, and a container sees its own group.
  if (hierarchies_.empty())
    hierarchies_ = {{"", "/sys/fs/cgroup", "/"},
                    {"cpu", "/sys/fs/cgroup/cpu", "/"},
                    {"memory", "/sys/fs/cgroup/memory", "/"}};
}

// 36 25 0:32 TOP MOUNTED OPTIONS... - TYPE SOURCE OPTIONS
void control_groups::add_mount(const std::string& line) {
  std::istringstream in{line};
  std::string skipped;
  std::string type;
  std::string options;
  hierarchy h;
  in >> skipped >> skipped >> skipped >> h.top >> h.mounted;
  while (in >> skipped && skipped != "-") {
  }
  in >> type >> skipped >> options;
  if (!in || (type != "cgroup" && type != "cgroup2")) return;
  if (type == "cgroup") h.controllers = options; // among others, such as "rw"
  hierarchies_.push_back(std::move(h));
}

std::string control_groups::read(const std::string& path) const {
  auto text = read_file(root_ + path, limits::max_text_file_bytes);
  return text ? *std::move(text) : std::string{};
}

// The group of this process: NUMBER:CONTROLLERS:PATH.
std::string control_groups::path_in(const hierarchy& which) const {
  std::istringstream in{read("/proc/self/cgroup")};
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = line.substr(first + 1, second - first - 1);
    const bool is_it = which.controllers.empty()
                           ? controllers.empty()
                           : names(which.controllers, controllers.substr(0, controllers.find(',')));
    if (is_it) return line.substr(second + 1);
  }
  return which.top;
}

// From the group of this process up to the top of what can be seen.
std::vector<std::string> control_groups::folders_of(std::string_view controller) const {
  std::vector<std::string> result;
  for (const auto& h : hierarchies_) {
    if (!h.controllers.empty() && !names(h.controllers, controller)) continue;
    auto path = path_in(h);
    const bool is_below = h.top == "/" || path == h.top || path.starts_with(h.top + '/');
    path = !is_below || path.starts_with("/..") ? "" : path.substr(h.top == "/" ? 0 : h.top.size());
    while (!path.empty() && path != "/") {
      result.push_back(h.mounted + path);
      path.erase(path.rfind('/'));
    }
    result.push_back(h.mounted);
  }
  return result;
}

std::optional<double> control_groups::processors() const {
  std::optional<double> result;
  for (const auto& folder : folders_of("cpu")) {
    std::istringstream both{read(folder + "/cpu.max")};
    std::string quota;
    std::string period;
    both >> quota >> period;
    lower(result, share(quota, period));
    lower(result, share(read(folder + "/cpu.cfs_quota_us"), read(folder + "/cpu.cfs_period_us")));
  }
  return result;
}

std::optional<std::uint64_t> control_groups::memory() const {
  std::optional<std::uint64_t> result;
  for (const auto& folder : folders_of("memory"))
    for (const auto* file : {"/memory.max", "/memory.high", "/memory.limit_in_bytes"})
      lower(result, number<std::uint64_t>(read(folder + file)));
  if (result && *result >= no_limit) return std::nullopt;
  return result;
}

std::optional<std::uint64_t> control_groups::free_memory() const {
  std::optional<std::uint64_t> result;
  const auto note = [&](const std::string& folder, const char* limit, const char* usage,
                        std::string_view cached) {
    const auto max = number<std::uint64_t>(read(folder + limit));
    const auto used = number<std::uint64_t>(read(folder + usage));
    if (!max || *max >= no_limit || !used) return;
    std::istringstream lines{read(folder + "/memory.stat")};
    std::string name;
    std::uint64_t bytes = 0;
    while (lines >> name >> bytes && name != cached) bytes = 0;
    const auto held = *used - std::min(*used, bytes);
    const auto left = *max - std::min(*max, held);
    result = std::min(result.value_or(left), left);
  };
  for (const auto& folder : folders_of("memory")) {
    note(folder, "/memory.max", "/memory.current", "inactive_file");
    note(folder, "/memory.high", "/memory.current", "inactive_file");
    note(folder, "/memory.limit_in_bytes", "/memory.usage_in_bytes", "total_inactive_file");
  }
  return result;
}

std::optional<std::uint64_t> control_groups::free_memory_of_machine() const {
  std::istringstream lines{read("/proc/meminfo")};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in{line};
    std::string name;
    std::uint64_t kib = 0;
    if (in >> name >> kib && name == "MemAvailable:") return kib * 1024;
  }
  return std::nullopt;
}

} // namespace ropewalk
