#include "actors/settings/largest_message.hpp"

#include "actors/settings/table.hpp"
#include "actors/settings/units.hpp"

namespace ropewalk {

namespace {

// What a request is counted with besides its payload, at most: its fields, its key, and what the
// broker needs for it.
constexpr std::uint64_t beside_payload = 8 * limits::kib;

} // namespace

std::uint64_t room_for_largest(const broker_tuning& process, const setting& of) {
  std::uint64_t needed = 0;
  if (of.name() == "memory" || of.name() == "service-memory")
    needed = process.max_message_bytes + beside_payload;
  if (of.name() == "answers-memory") needed = process.max_message_bytes;
  const bool is_divided = of.share_of(needed, 2) != needed;
  return is_divided ? needed * process.shards : needed;
}

std::vector<std::string> limits_below_largest(const broker_tuning& process) {
  std::vector<std::string> result;
  for (const auto& s : all_settings) {
    if (!s.is_of<broker_tuning>()) continue;
    const auto needed = room_for_largest(process, s);
    const auto has = s.get(process);
    if (has >= needed) continue;
    result.push_back(
        "--" + std::string{s.name()} + " " + size_text(has) +
        " has no room for the largest message (--max-message-bytes " +
        size_text(process.max_message_bytes) +
        (process.shards > 1 ? ", in each of " + std::to_string(process.shards) + " shards" : "") +
        "), which could never be answered: make it " + size_text(needed) +
        " or more, or --max-message-bytes smaller");
  }
  return result;
}

} // namespace ropewalk
