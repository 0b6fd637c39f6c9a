#include "actors/settings/machine.hpp"

#include "actors/settings/largest_message.hpp"
#include "actors/settings/table.hpp"
#include "actors/settings/units.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// The kernel refuses a set that is smaller than its own.
std::uint32_t processors_of_affinity() {
  for (int size = 1024; size <= 1 << 20; size *= 2) {
    cpu_set_t* const set = CPU_ALLOC(size);
    if (!set) break;
    const auto bytes = CPU_ALLOC_SIZE(size);
    const int count = ::sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return static_cast<std::uint32_t>(count);
  }
  return static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

std::optional<std::uint64_t> memory_of_machine() {
  const auto pages = ::sysconf(_SC_PHYS_PAGES);
  const auto bytes = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || bytes <= 0) return std::nullopt;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(bytes);
}

// The share of all memory that a setting's default takes at most, in 1024ths.
struct part_of_memory {
  std::string_view name;
  std::uint64_t in_1024;
};

// As 512 MiB, 384 MiB, 64 MiB, 16 MiB and 256 MiB of 1 GiB, below which the defaults would be more
// than there is room for.
constexpr std::array parts_of_memory{
    part_of_memory{"memory", 512}, part_of_memory{"service-memory", 384},
    part_of_memory{"connection-memory", 64}, part_of_memory{"unread-answers", 16},
    part_of_memory{"answers-memory", 256}};

} // namespace

machine_share machine_share::of_this_process(const control_groups& groups) {
  machine_share result{processors_of_affinity(), groups.processors(), memory_of_machine()};
  const auto lower = [&](std::uint64_t memory) {
    result.memory = std::min(result.memory.value_or(memory), memory);
  };
  if (const auto group = groups.memory()) lower(*group);
  rlimit addresses{};
  if (::getrlimit(RLIMIT_AS, &addresses) == 0 && addresses.rlim_cur != RLIM_INFINITY)
    lower(addresses.rlim_cur);
  return result;
}

std::uint32_t machine_share::slots() const {
  if (!quota || *quota >= processors) return std::max(processors, 1u);
  return std::max(static_cast<std::uint32_t>(std::ceil(*quota)), 1u);
}

std::optional<std::uint64_t> free_memory(const control_groups& groups) {
  const auto machine = groups.free_memory_of_machine();
  const auto group = groups.free_memory();
  return machine && group ? std::min(machine, group) : (machine ? machine : group);
}

std::string fit_memory(broker_tuning& settings, std::uint64_t memory,
                       const std::function<bool(std::string_view name)>& was_said) {
  std::string lowered;
  for (const auto& part : parts_of_memory) {
    const auto& s = *std::find_if(all_settings.begin(), all_settings.end(),
                                  [&](const setting& one) { return one.name() == part.name; });
    const auto room =
        std::max({memory / 1024 * part.in_1024, s.min(), room_for_largest(settings, s)});
    if (was_said(s.name()) || s.get(settings) <= room) continue;
    s.set(settings, room);
    lowered += (lowered.empty() ? "--" : ", --") + std::string{s.name()} + " " + size_text(room);
  }
  return lowered;
}

} // namespace ropewalk
