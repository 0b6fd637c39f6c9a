#include "actors/admin/message_pages.hpp"

#include "actors/admin/http_routes.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

namespace ropewalk {

namespace {

using json = nlohmann::ordered_json;

failure wrong(std::string what, std::string advice = {}) {
  return {failure_kind::bad_input, std::move(what), std::move(advice)};
}

result<void> read_option(std::string_view name, std::string_view value, message_query& into) {
  using about = message_query::about;
  if (name == "failed" || name == "slow" || name == "open") {
    into.what = name == "failed" ? about::failed : name == "slow" ? about::slow : about::open;
    return {};
  }
  if (name == "service") {
    const auto service = decode_percent(value);
    if (!service || service->empty()) return wrong("service=NAME wants a name");
    into.service = *service;
    return {};
  }
  if (name == "limit") {
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), into.limit);
    if (error != std::errc{} || end != value.data() + value.size() || into.limit < 1 ||
        into.limit > message_query::max_limit)
      return wrong("limit=NUMBER wants one from 1 to 1000");
    return {};
  }
  return wrong("'" + std::string{name} + "' is no question about messages",
               "failed, slow, open, service=NAME and limit=NUMBER are");
}

result<message_query> read_name(std::string_view name) {
  message_query result;
  result.what = message_query::about::one;
  result.limit = message_query::max_limit;
  result.trace = read_trace_id(name);
  if (const auto whole = read_traceparent(name)) result.trace = whole->trace;
  if (!result.trace) result.id = read_message_id(name);
  if (!result.trace && !result.id)
    return wrong("'" + std::string{name} + "' names no message",
                 "a trace id has 32 hexadecimal digits; other ids look like 0.17.2-42, as "
                 "`ropewalk explain --failed` shows them");
  return result;
}

double seconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double>(time).count();
}

std::string_view kept_text(kept_for why) {
  switch (why) {
  case kept_for::failure:
    return "failure";
  case kept_for::slowness:
    return "slowness";
  case kept_for::sample:
    return "sample";
  case kept_for::nothing:
    break;
  }
  return {};
}

json json_of(const attempt_report& one) {
  json result{{"attempt", one.number}};
  if (one.node) result["node"] = *one.node;
  if (one.slot > 0) result["slot"] = one.slot;
  result["placed_seconds"] = seconds(one.placed);
  if (one.end != attempt_end::open) result["ended_seconds"] = seconds(one.ended);
  if (one.ran.count() > 0) {
    result["ran_seconds"] = seconds(one.ran);
    result["waited_seconds"] = seconds(std::max(one.ended - one.placed - one.ran, microseconds{0}));
  }
  result["end"] = name_of(one.end);
  if (one.why) result["why"] = *one.why;
  return result;
}

json json_of(const message_report& one, instant now, wall_time wall) {
  json result{{"id", one.id.text()}, {"service", one.service}};
  if (one.trace) {
    result["trace"] = hex_of(one.trace->trace);
    result["traceparent"] = one.trace->text();
  }
  if (!one.client.empty()) result["client"] = one.client;
  if (one.address) result["address"] = *one.address;
  result["came"] = utc_text(wall - std::chrono::duration_cast<wall_time>(now - one.came));
  result["seconds"] = seconds(one.took);
  result["bytes"] = one.bytes;
  result["attempts_allowed"] = one.allowed;
  result["state"] = one.ended ? "ended" : one.before ? "waiting" : "with a node";
  if (one.ended) {
    result["code"] = name_of(one.code);
    if (one.code != error_code::ok)
      result["detail"] = one.detail ? *one.detail : sentence_of(one.code);
    if (one.cancelled_by) result["cancelled_by"] = *one.cancelled_by;
    if (const auto why = kept_text(one.kept); !why.empty()) result["kept_for"] = why;
  } else {
    result["waits"] = one.waits;
    if (one.before) result["before"] = *one.before;
  }
  auto& attempts = result["attempts"] = json::array();
  for (const auto& attempt : one.attempts) attempts.push_back(json_of(attempt));
  if (one.left_out > 0) result["attempts_left_out"] = one.left_out;
  return result;
}

} // namespace

result<message_query> read_message_query(std::string_view target) {
  if (!target.starts_with(messages_path)) return wrong("this is no question about messages");
  target.remove_prefix(messages_path.size());
  if (target.size() > 1 && target.front() == '/') return read_name(target.substr(1));
  message_query result;
  if (!target.empty() && target.front() != '?') return wrong("this is no question about messages");
  if (!target.empty()) target.remove_prefix(1);
  while (!target.empty()) {
    const auto end = target.find('&');
    const auto option = target.substr(0, end);
    target.remove_prefix(end == std::string_view::npos ? target.size() : end + 1);
    const auto equals = option.find('=');
    const auto value =
        equals == std::string_view::npos ? std::string_view{} : option.substr(equals + 1);
    if (const auto read = read_option(option.substr(0, equals), value, result); !read)
      return read.why();
  }
  return result;
}

std::string messages_json(const std::vector<message_report>& all, instant now, wall_time wall) {
  json result{{"now", utc_text(wall)}, {"messages", json::array()}};
  for (const auto& one : all) result["messages"].push_back(json_of(one, now, wall));
  // Handlers say what they like: what is not UTF-8 in it must not stop the answer.
  return result.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace ropewalk
