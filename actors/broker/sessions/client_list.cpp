#include "actors/broker/sessions/client_list.hpp"

#include "net/http/http_decoder.hpp"

#include <algorithm>
#include <string_view>

namespace ropewalk {

namespace {

// As much of a session as decides whether it is listed.
struct candidate {
  const session* who;
  std::uint64_t unread_bytes;
  std::uint64_t in_flight;
  std::uint64_t requests;
};

std::string_view name_of(session_state state) {
  switch (state) {
  case session_state::open:
    return "open";
  case session_state::half_closed:
    return "half closed";
  case session_state::closing:
    return "closing";
  case session_state::leaving:
    break;
  }
  return "leaving";
}

std::string_view protocol_of(const session& s) {
  if (s.http) return "http";
  switch (s.connection->input().what()) {
  case decoder::mode::binary:
    return "frames";
  case decoder::mode::text:
    return "lines";
  case decoder::mode::undecided:
    break;
  }
  return "";
}

double seconds_between(instant from, instant to) {
  return std::max(0.0, std::chrono::duration<double>(to - from).count());
}

client_report report_of(const candidate& one, std::uint16_t shard, instant now) {
  const auto& s = *one.who;
  client_report result;
  result.id = std::to_string(shard) + "." + std::to_string(s.id.index) + "." +
              std::to_string(s.id.generation);
  result.address = s.connection->address();
  result.who = who_is(s);
  result.protocol = protocol_of(s);
  result.state = name_of(s.state());
  result.in_flight = one.in_flight;
  result.requests = one.requests;
  result.bytes_in = s.http ? s.connection->http()->received() : s.connection->input().received();
  result.bytes_out = s.connection->output().sent();
  result.unread_bytes = one.unread_bytes;
  result.age_seconds = seconds_between(s.opened, now);
  result.idle_seconds = seconds_between(s.last_heard, now);
  result.paused = !s.reading;
  return result;
}

} // namespace

std::string who_is(const session& s) {
  if (s.who) return s.who->name;
  if (s.http && s.http->who()) return s.http->who()->name;
  return s.connection->transport().peer_name();
}

std::vector<client_report> list_clients(const session_table& all, const dispatcher& work,
                                        std::uint16_t shard, instant now) {
  std::vector<candidate> found;
  found.reserve(all.size());
  all.for_each([&](const session& s) {
    found.push_back({&s, s.unread_bytes, work.requests_of(s.id), s.requests});
  });
  const auto listed = std::min(found.size(), max_listed_clients);
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(listed), found.end(),
                    holds_more<candidate>);
  std::vector<client_report> result;
  result.reserve(listed);
  for (std::size_t i = 0; i < listed; ++i) result.push_back(report_of(found[i], shard, now));
  return result;
}

} // namespace ropewalk
