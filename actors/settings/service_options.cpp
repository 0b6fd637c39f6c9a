#include "actors/settings/service_options.hpp"

#include "actors/settings/read_file.hpp"
#include "actors/settings/units.hpp"
#include "net/protocol/limits.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <grp.h>
#include <optional>
#include <pwd.h>
#include <string_view>

namespace ropewalk {

namespace {

// A number of them; a number or a range, of which the number is the end; a time with its unit, as
// milliseconds; bytes, with a unit or without; true or false; and what is none of these.
enum class kind : std::uint8_t { number, range, time, bytes, flag, text };

struct option {
  std::string_view name;
  kind what;
  runs from;              // which handlers have it: this kind and those behind it
  std::uint64_t min, max; // of text and flags: not asked
  // Returns what is wrong with it; empty: it is set.
  std::string (*set)(service_options& in, std::uint64_t number, const std::string& text);
  std::string_view unset; // the default, for people
  std::string_view reason;
  bool of_code = false; // code in the node has it, too
};

constexpr std::uint64_t day_ms = 24 * 3'600'000ull;

std::string set_environment(service_options& in, std::uint64_t, const std::string& text) {
  if (text.find('=') == std::string::npos) return "'" + text + "' is no NAME=VALUE";
  if (text.starts_with("ROPEWALK_")) return "names that begin with ROPEWALK_ are the worker's own";
  in.around.environment.push_back(text);
  return {};
}

std::string set_user(service_options& in, std::uint64_t, const std::string& text) {
  const auto* const found = ::getpwnam(text.c_str());
  if (!found) return "there is no user '" + text + "' on this machine";
  if (::geteuid() != 0)
    return "only a worker that runs as root can run programs as another user; start it as root, "
           "or as " +
           text + " and leave this out";
  program_user who{found->pw_uid, found->pw_gid, {}, text, found->pw_dir};
  int count = 0;
  ::getgrouplist(text.c_str(), who.group, nullptr, &count);
  who.groups.resize(static_cast<std::size_t>(count));
  ::getgrouplist(text.c_str(), who.group, who.groups.data(), &count);
  in.around.user = std::move(who);
  return {};
}

struct signal_name {
  std::string_view name;
  int number;
};
constexpr std::array signal_names{signal_name{"TERM", SIGTERM}, signal_name{"INT", SIGINT},
                                  signal_name{"HUP", SIGHUP},   signal_name{"QUIT", SIGQUIT},
                                  signal_name{"USR1", SIGUSR1}, signal_name{"USR2", SIGUSR2}};

std::string set_stop_signal(service_options& in, std::uint64_t, const std::string& text) {
  std::string_view name = text;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  const auto* const found = std::find_if(signal_names.begin(), signal_names.end(),
                                         [&](const signal_name& s) { return s.name == name; });
  if (found == signal_names.end())
    return "'" + text + "' is none of TERM, INT, HUP, QUIT, USR1 and USR2";
  in.stop_signal = found->number;
  return {};
}

std::string set_channel(service_options& in, std::uint64_t, const std::string& text) {
  using channel = service_options::channel;
  if (text != "fd" && text != "stdio") return "'" + text + "' is neither fd nor stdio";
  in.speaks_over = text == "fd" ? channel::descriptor : channel::stdio;
  return {};
}

// MAX, or MIN..MAX.
std::string set_slots(service_options& in, std::uint64_t max, const std::string& text) {
  in.slots = static_cast<std::uint32_t>(max);
  in.min_slots = 0;
  if (text.find("..") == std::string::npos) return {};
  std::from_chars(text.data(), text.data() + text.size(), in.min_slots);
  if (in.min_slots >= 1 && in.min_slots <= in.slots) return {};
  return text +
         " is no range of slots, such as 1..8: the first is 1 or more, and not above the other";
}

// A file of a server's: its whole path, since what connects may run elsewhere.
template <auto Field>
std::string set_file(service_options& in, std::uint64_t, const std::string& text) {
  if (const auto content = read_file(text, limits::max_text_file_bytes); !content)
    return content.why().text();
  in.server.*Field = std::filesystem::absolute(text).string();
  return {};
}

// An option that is a number of some kind: its field.
template <auto Field>
std::string set_number(service_options& in, std::uint64_t number, const std::string&) {
  using type = std::remove_reference_t<decltype(in.*Field)>;
  in.*Field = static_cast<type>(number);
  return {};
}

const std::array options{
    option{"slots", kind::range, runs::built_in, 1, limits::max_slots, set_slots, "--slots",
           "messages of this service that the node runs at a time; of exec also MIN..MAX: "
           "processes are started while requests wait, as far as there is memory for them, and "
           "ended when they are idle"},
    option{"timeout", kind::time, runs::program, 1, day_ms, set_number<&service_options::timeout>,
           "the message's deadline",
           "the longest run of a message; after it the answer is TIMEOUT, as at its deadline: what "
           "hangs is not to hold a slot as long as its client would wait"},
    option{"retry-failed", kind::flag, runs::built_in, 0, 0,
           set_number<&service_options::retry_failed>, "false",
           "a message whose handler says that it failed is started again, wherever there is "
           "room, up to its attempts: for what fails for reasons that pass"},
    option{"cwd", kind::text, runs::program, 0, 0,
           [](service_options& in, std::uint64_t, const std::string& text) {
             in.around.folder = text;
             return std::string{};
           },
           "the worker's own", "the folder in which its programs run"},
    option{"env", kind::text, runs::program, 0, 0, set_environment, "the worker's own",
           "NAME=VALUE for its programs; may be given several times"},
    option{"user", kind::text, runs::program, 0, 0, set_user, "the worker's own",
           "as whom its programs run, with that user's groups; for a worker that is root"},
    option{"nice", kind::number, runs::program, 0, 19,
           [](service_options& in, std::uint64_t n, const std::string&) {
             in.around.nice = static_cast<int>(n);
             return std::string{};
           },
           "0", "so much nicer than the worker are its programs to others on the machine"},
    option{"processes", kind::number, runs::process, 1, limits::max_slots,
           set_number<&service_options::processes>, "one a slot",
           "how many processes share the slots"},
    option{"channel", kind::text, runs::process, 0, 0, set_channel, "fd",
           "where it speaks: fd, a descriptor of its own, or stdio, for what can only do stdin and "
           "stdout: then it must print nothing there, and stderr alone is log"},
    option{"start-timeout", kind::time, runs::process, 1, day_ms,
           set_number<&service_options::start_timeout>, "60s",
           "a process that is not ready by then is ended and started anew"},
    option{"stop-timeout", kind::time, runs::process, 1, day_ms,
           set_number<&service_options::stop_timeout>, "5s",
           "how long a process may take to answer what was taken back, and to end; how long after "
           "its deadline a run of code in the node may go on before its slot is written off",
           true},
    option{"stop-signal", kind::text, runs::process, 0, 0, set_stop_signal, "TERM",
           "what a process is sent that has not ended half of stop-timeout after the end of its "
           "channel; SIGKILL at the end of that"},
    option{"recycle-after", kind::number, runs::process, 1, UINT64_MAX,
           set_number<&service_options::recycle_after>, "never",
           "a process is replaced after about so many requests, before its leaks hurt; 1: each "
           "request has a process of its own"},
    option{"recycle-age", kind::time, runs::process, 1000, 365 * day_ms,
           set_number<&service_options::recycle_age>, "never",
           "a process is replaced when it has been ready for about so long"},
    option{"idle-time", kind::time, runs::process, 1, 365 * day_ms,
           set_number<&service_options::idle_time>, "30s",
           "with slots=MIN..MAX, a process beyond MIN that has run nothing for so long is ended"},
    option{"max-memory", kind::bytes, runs::process, limits::mib, UINT64_MAX / 2,
           set_number<&service_options::max_memory>, "any",
           "a process that has more, with all that it has started, is replaced; one that has twice "
           "as much is ended at once, and what it was running is charged"},
    option{"tls-ca", kind::text, runs::server, 0, 0,
           set_file<&service_options::server_access::authority>, "plain TCP",
           "a PEM file: TLS, with a server whose certificate comes from one in there"},
    option{"tls-cert", kind::text, runs::server, 0, 0,
           set_file<&service_options::server_access::certificate>, "none",
           "a PEM file: the certificate that is shown to the server"},
    option{"tls-key", kind::text, runs::server, 0, 0,
           set_file<&service_options::server_access::key>, "none", "a PEM file: its key"},
    option{"token-file", kind::text, runs::server, 0, 0,
           set_file<&service_options::server_access::token>, "none",
           "a file with the token by which the server, a broker say, knows this worker"},
};

failure bad(std::string what) {
  return {failure_kind::bad_input, std::move(what), {}};
}

result<std::uint64_t> number_in(const std::string& text, kind what) {
  switch (what) {
  case kind::time: {
    const auto time = parse_duration(text, microseconds{0});
    if (!time) return bad(time.why().text());
    return static_cast<std::uint64_t>(std::chrono::ceil<milliseconds>(*time).count());
  }
  case kind::bytes: {
    auto size = parse_size(text);
    if (!size) return bad(size.why().text());
    return size;
  }
  case kind::flag:
    if (text == "true" || text == "false") return std::uint64_t{text == "true"};
    return bad("'" + text + "' is not true or false");
  case kind::text:
    return 0;
  case kind::number:
  case kind::range:
    break;
  }
  std::uint64_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto* at = text.data();
  if (const auto dots = text.find(".."); what == kind::range && dots != std::string::npos) {
    const auto [min_end, wrong] = std::from_chars(at, at + dots, number);
    if (wrong != std::errc{} || min_end != at + dots) return bad("'" + text + "' is no range");
    at += dots + 2;
  }
  const auto [stopped, error] = std::from_chars(at, end, number);
  if (error != std::errc{} || stopped != end)
    return bad("'" + text + "' is no " +
               (what == kind::range ? "number or range, such as 8 or 1..8" : "number"));
  return number;
}

std::string text_of(std::uint64_t number, kind what) {
  if (what == kind::time) return duration_text(milliseconds{number});
  return what == kind::bytes ? size_text(number) : std::to_string(number);
}

std::string_view unit_of(kind what) {
  switch (what) {
  case kind::time:
    return "time: 500ms, 5s, 2m";
  case kind::bytes:
    return "size: 500MiB, 2GiB";
  case kind::flag:
    return "true or false";
  case kind::number:
    return "number";
  case kind::range:
    return "number, or a range: 1..8";
  case kind::text:
    break;
  }
  return "text";
}

std::string_view of_whom(const option& one) {
  switch (one.from) {
  case runs::built_in:
    return "all";
  case runs::code:
  case runs::program:
    return "cmd, exec";
  case runs::server:
    return "unix, tcp";
  case runs::process:
    break;
  }
  return one.of_code ? "exec, lib" : "exec";
}

std::string_view whose(const option& one) {
  if (one.from == runs::server) return "are servers that run already (unix:, tcp:)";
  return one.from == runs::process ? "stay up (exec:)" : "are programs (cmd:, exec:)";
}

std::string range_of(const option& one) {
  if (one.what == kind::flag || one.what == kind::text) return {};
  const bool no_end = one.max >= UINT64_MAX / 2;
  return text_of(one.min, one.what) + (no_end ? " and more" : " to " + text_of(one.max, one.what));
}

std::string names() {
  std::string result;
  for (const auto& one : options) result.append(result.empty() ? "" : ", ").append(one.name);
  return result;
}

} // namespace

result<void> set_service_option(service_options& in, runs what, std::string_view name,
                                const std::string& value) {
  const auto* const found = std::find_if(options.begin(), options.end(),
                                         [&](const option& one) { return one.name == name; });
  if (found == options.end())
    return bad("a service has no option '" + std::string{name} + "': there are " + names());
  const bool may =
      what == runs::code ? found->of_code || found->from == runs::built_in : what >= found->from;
  if (!may) return bad(std::string{name} + " is for handlers that " + std::string{whose(*found)});
  const auto number = number_in(value, found->what);
  if (!number) return bad(std::string{name} + ": " + number.why().what);
  const bool has_range = found->what != kind::text && found->what != kind::flag;
  if (has_range && (*number < found->min || *number > found->max))
    return bad(std::string{name} + ": " + value + " is not between " +
               text_of(found->min, found->what) + " and " + text_of(found->max, found->what));
  if (found->what == kind::range && what != runs::process && value.find("..") != std::string::npos)
    return bad(std::string{name} + ": a range is for handlers that stay up (exec:)");
  if (const auto wrong = found->set(in, *number, value); !wrong.empty())
    return bad(std::string{name} + ": " + wrong);
  return {};
}

result<void> check_service_options(const service_options& all) {
  const auto& server = all.server;
  if (server.certificate.empty() != server.key.empty())
    return bad("tls-cert and tls-key go together: a certificate is of no use without its key");
  if (!server.certificate.empty() && server.authority.empty())
    return bad("tls-cert is shown over TLS: say tls-ca, too, by which the server is known");
  if (all.min_slots == 0 && all.idle_time != service_options{}.idle_time)
    return bad("idle-time is for a range of slots, such as slots=1..8");
  return {};
}

std::vector<std::string> service_option_names() {
  std::vector<std::string> result;
  for (const auto& one : options) result.emplace_back(one.name);
  return result;
}

std::string service_options_usage() {
  std::string result;
  for (const auto& one : options) {
    const auto range = range_of(one);
    result.append("\n  ").append(one.name).append(" (").append(of_whom(one));
    result.append(range.empty() ? "" : "; ").append(range);
    result.append("; default: ").append(one.unset).append("): ").append(one.reason);
  }
  return result;
}

std::string service_options_table() {
  std::string result =
      "| option | of | default | unit | range | why |\n|---|---|---|---|---|---|\n";
  for (const auto& one : options) {
    result.append("| `").append(one.name).append("` | ").append(of_whom(one)).append(" | ");
    result.append(one.unset).append(" | ").append(unit_of(one.what)).append(" | ");
    result.append(range_of(one)).append(" | ").append(one.reason).append(" |\n");
  }
  return result;
}

} // namespace ropewalk
