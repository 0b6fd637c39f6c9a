#include "actors/node/slot_budget.hpp"

#include <algorithm>

namespace ropewalk {

namespace {

// What a node has open besides its slots' programs: its event loop, its log, the sockets and rings
// of a broker's shards, and what is open for a moment while programs are started.
constexpr std::uint64_t own_descriptors = 64;

// Of a program a message: its channel to the process that starts programs, its three pipes, and
// what is open beside them for a moment while it is started. Of one that stays up: its channel, its
// socket and what it prints.
constexpr std::uint64_t of_command = 5;
constexpr std::uint64_t of_process = 4;

struct demand {
  service_settings* service;
  std::uint32_t wanted; // slots, or processes
  std::uint64_t each;
};

std::vector<demand> demands_of(node_settings& settings) {
  std::vector<demand> result;
  for (auto& service : settings.services) {
    if (!service.handler.starts_programs) continue;
    const auto slots = settings.slots_of(service);
    const auto processes = service.options.processes;
    if (!service.handler.stays_up)
      result.push_back({&service, slots, of_command});
    else
      result.push_back({&service, processes == 0 ? slots : std::min(processes, slots), of_process});
  }
  return result;
}

std::uint64_t descriptors_of(const std::vector<demand>& all, std::uint32_t at_once) {
  std::uint64_t sum = own_descriptors;
  for (const auto& d : all) sum += std::min(d.wanted, at_once) * d.each;
  return sum;
}

} // namespace

std::vector<std::string> fit_slots(node_settings& settings, std::uint64_t descriptors,
                                   std::uint64_t reserved) {
  const auto all = demands_of(settings);
  const auto needed = [&](const std::vector<demand>& what, std::uint32_t at_once) {
    return reserved + descriptors_of(what, at_once);
  };
  const auto whole = needed(all, limits::max_slots);
  if (whole <= descriptors) return {};
  std::uint32_t room = limits::max_slots;
  while (room > 1 && needed(all, room) > descriptors) --room;
  std::vector<std::string> said;
  for (const auto& d : all) {
    if (d.wanted <= room) continue;
    auto& options = d.service->options;
    const bool by_process = d.service->handler.stays_up && options.processes > 0;
    (by_process ? options.processes : options.slots) = room;
    said.push_back("service " + d.service->name + ": " + std::to_string(d.wanted) +
                   (by_process ? " processes" : " slots") + " cannot work with the " +
                   std::to_string(descriptors) +
                   " descriptors that this process may have, and it gets " + std::to_string(room) +
                   "; raise `ulimit -n` (the hard limit, or that of the container) to " +
                   std::to_string(whole) + " or more, or take fewer");
  }
  return said;
}

} // namespace ropewalk
