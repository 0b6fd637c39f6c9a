#include "actors/settings/service_options.hpp"

#include "actors/settings/units.hpp"
#include "net/protocol/limits.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace ropewalk {

namespace {

// A number of them, or a time with its unit, as milliseconds.
enum class kind : std::uint8_t { number, time, text };

struct option {
  std::string_view name;
  kind what;
  bool of_processes;      // of programs that stay up only
  std::uint64_t min, max; // of text: not asked
  void (*set)(service_options& in, std::uint64_t number, const std::string& text);
  std::string_view reason;
};

constexpr std::uint64_t day_ms = 24 * 3'600'000ull;

const std::array options{
    option{"slots", kind::number, false, 1, limits::max_slots,
           [](service_options& in, std::uint64_t n, const std::string&) {
             in.slots = static_cast<std::uint32_t>(n);
           },
           "messages of this service that the node runs at a time (--slots, unless said)"},
    option{"processes", kind::number, true, 1, limits::max_slots,
           [](service_options& in, std::uint64_t n, const std::string&) {
             in.processes = static_cast<std::uint32_t>(n);
           },
           "exec: how many processes share the slots (one a slot, unless said)"},
    option{"start-timeout", kind::time, true, 1, day_ms,
           [](service_options& in, std::uint64_t n, const std::string&) {
             in.start_timeout = milliseconds{n};
           },
           "exec: a process that is not ready by then is ended and started anew (60s)"},
    option{"stop-timeout", kind::time, true, 1, day_ms,
           [](service_options& in, std::uint64_t n, const std::string&) {
             in.stop_timeout = milliseconds{n};
           },
           "exec: how long a process may take to answer what was taken back, and to end (5s)"},
    option{
        "recycle-after", kind::number, true, 1, UINT64_MAX,
        [](service_options& in, std::uint64_t n, const std::string&) { in.recycle_after = n; },
        "exec: a process is replaced after about so many requests, before its leaks hurt (never)"},
    option{"cwd", kind::text, false, 0, 0,
           [](service_options& in, std::uint64_t, const std::string& text) { in.folder = text; },
           "the folder in which its programs run (the worker's own)"},
    option{"env", kind::text, false, 0, 0,
           [](service_options& in, std::uint64_t, const std::string& text) {
             in.environment.push_back(text);
           },
           "NAME=VALUE for its programs; may be given several times"},
};

failure bad(std::string what) {
  return {failure_kind::bad_input, std::move(what), {}};
}

result<std::uint64_t> number_in(const std::string& text, kind what) {
  if (what == kind::time) {
    const auto time = parse_duration(text, microseconds{0});
    if (!time) return bad(time.why().text());
    return static_cast<std::uint64_t>(std::chrono::ceil<milliseconds>(*time).count());
  }
  std::uint64_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || at != end) return bad("'" + text + "' is no number");
  return number;
}

std::string text_of(std::uint64_t number, kind what) {
  return what == kind::time ? duration_text(milliseconds{number}) : std::to_string(number);
}

std::string names() {
  std::string result;
  for (const auto& one : options) result.append(result.empty() ? "" : ", ").append(one.name);
  return result;
}

} // namespace

result<void> set_service_option(service_options& in, bool stays_up, std::string_view name,
                                const std::string& value) {
  const auto* const found = std::find_if(options.begin(), options.end(),
                                         [&](const option& one) { return one.name == name; });
  if (found == options.end())
    return bad("a service has no option '" + std::string{name} + "': there are " + names());
  if (found->of_processes && !stays_up)
    return bad(std::string{name} + " is for handlers that stay up (exec:)");
  if (found->what == kind::text) {
    if (name == "env" && value.find('=') == std::string::npos)
      return bad("env: '" + value + "' is no NAME=VALUE");
    if (name == "env" && value.starts_with("ROPEWALK_"))
      return bad("env: names that begin with ROPEWALK_ are the worker's own");
    found->set(in, 0, value);
    return {};
  }
  const auto number = number_in(value, found->what);
  if (!number) return bad(std::string{name} + ": " + number.why().what);
  if (*number < found->min || *number > found->max)
    return bad(std::string{name} + ": " + value + " is not between " +
               text_of(found->min, found->what) + " and " + text_of(found->max, found->what));
  found->set(in, *number, value);
  return {};
}

std::vector<std::string> service_option_names() {
  std::vector<std::string> result;
  for (const auto& one : options) result.emplace_back(one.name);
  return result;
}

std::string service_options_usage() {
  std::string result;
  for (const auto& one : options)
    result.append("\n  ").append(one.name).append(": ").append(one.reason);
  return result;
}

} // namespace ropewalk
