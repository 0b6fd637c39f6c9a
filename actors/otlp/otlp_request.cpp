#include "actors/otlp/otlp_request.hpp"

#include "net/bytes/byte_order.hpp"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

namespace ropewalk {

namespace {

using json = nlohmann::ordered_json;

// The numbers of opentelemetry/proto/trace/v1/trace.proto.
constexpr int kind_server = 2;
constexpr int kind_client = 3;
constexpr int status_ok = 1;
constexpr int status_error = 2;

json text(std::string_view key, std::string_view value) {
  return {{"key", key}, {"value", {{"stringValue", value}}}};
}

// 64 bits are a string in JSON.
json number(std::string_view key, std::uint64_t value) {
  return {{"key", key}, {"value", {{"intValue", std::to_string(value)}}}};
}

class spans {
public:
  spans(const moment& now, const std::function<std::uint64_t()>& random)
      : now_(now), random_(random) {}

  void add(const message_report& message) {
    const auto id = new_id();
    all_.push_back(span_of(message, id));
    for (const auto& attempt : message.attempts)
      if (attempt.end != attempt_end::open) all_.push_back(span_of(message, attempt, id));
  }

  json take() { return std::move(all_); }

private:
  [[nodiscard]] std::string new_id() const {
    span_id id{};
    std::array<char, sizeof id> bytes{};
    store_be(bytes.data(), random_() | 1); // never all zero
    std::memcpy(id.data(), bytes.data(), id.size());
    return hex_of(id);
  }

  [[nodiscard]] std::string time(instant at) const {
    return std::to_string((now_.wall - (now_.here - at)).count());
  }

  [[nodiscard]] json span_of(const message_report& message, const std::string& id) const {
    const bool good = message.code == error_code::ok;
    json attributes = json::array(
        {text("messaging.system", "ropewalk"), text("messaging.destination.name", message.service),
         text("messaging.message.id", message.id.text()),
         number("ropewalk.attempts", message.attempts.size() + message.left_out)});
    if (!message.client.empty()) attributes.push_back(text("ropewalk.client", message.client));
    if (message.address) attributes.push_back(text("client.address", *message.address));
    json status{{"code", status_ok}};
    if (!good) {
      attributes.push_back(text("error.type", name_of(message.code)));
      status = {{"message",
                 message.detail ? std::string_view{*message.detail} : sentence_of(message.code)},
                {"code", status_error}};
    }
    return {{"traceId", hex_of(message.trace->trace)},
            {"spanId", id},
            {"parentSpanId", hex_of(message.trace->parent)},
            {"flags", message.trace->flags},
            {"name", "process " + message.service},
            {"kind", kind_server},
            {"startTimeUnixNano", time(message.came)},
            {"endTimeUnixNano", time(message.came + message.took)},
            {"attributes", std::move(attributes)},
            {"status", std::move(status)}};
  }

  [[nodiscard]] json span_of(const message_report& message, const attempt_report& attempt,
                             const std::string& parent) const {
    json attributes = json::array(
        {number("ropewalk.attempt", attempt.number), text("ropewalk.end", name_of(attempt.end)),
         number("ropewalk.run_us", static_cast<std::uint64_t>(attempt.ran.count()))});
    if (attempt.node) attributes.push_back(text("ropewalk.node", *attempt.node));
    if (attempt.slot > 0) attributes.push_back(number("ropewalk.slot", attempt.slot));
    const bool good = attempt.end == attempt_end::answered && message.code == error_code::ok;
    json status{{"code", good ? status_ok : status_error}};
    if (!good && attempt.why) status["message"] = *attempt.why;
    return {{"traceId", hex_of(message.trace->trace)},
            {"spanId", new_id()},
            {"parentSpanId", parent},
            {"flags", message.trace->flags},
            {"name", "attempt " + std::to_string(attempt.number)},
            {"kind", kind_client},
            {"startTimeUnixNano", time(message.came + attempt.placed)},
            {"endTimeUnixNano", time(message.came + attempt.ended)},
            {"attributes", std::move(attributes)},
            {"status", std::move(status)}};
  }

  const moment now_;
  const std::function<std::uint64_t()>& random_;
  json all_ = json::array();
};

} // namespace

std::string otlp_request(const std::vector<message_report>& messages, const otlp_resource& resource,
                         const moment& now, const std::function<std::uint64_t()>& random) {
  spans all{now, random};
  for (const auto& message : messages)
    if (message.trace) all.add(message);
  const json scope{{"name", "ropewalk"}, {"version", resource.version}};
  json of_resource{
      {"resource",
       {{"attributes",
         json::array({text("service.name", "ropewalk"), text("service.version", resource.version),
                      text("service.instance.id", resource.instance)})}}},
      {"scopeSpans", json::array({{{"scope", scope}, {"spans", all.take()}}})}};
  const json result{{"resourceSpans", json::array({std::move(of_resource)})}};
  return result.dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace ropewalk
