#include "actors/dispatch/dispatcher.hpp"
#include "net/protocol/frame.hpp"

#include <algorithm>
#include <utility>

/// What the dispatcher says to its history: when an attempt ends, or a message does. None of this
/// is on the way of a message that is answered at its first attempt, but for the few of these that
/// are kept.
namespace ropewalk {

namespace {

// A message of which this is a part is worth more than a sample.
bool is_a_loss(const attempt_report& one) {
  return one.end != attempt_end::answered && one.end != attempt_end::returned &&
         one.end != attempt_end::open && one.end != attempt_end::withdrawn;
}

bool has_loss(const message_report& of) {
  return std::any_of(of.attempts.begin(), of.attempts.end(), is_a_loss);
}

// What its fields say of where a message comes from.
void read_origin(std::string_view fields, message_report& into) {
  into.client = find_field(fields, field::client);
  into.trace = read_traceparent(find_field(fields, field::trace));
}

} // namespace

message_id dispatcher::id_of_request(const request& r) const {
  const auto whose = r.connection == no_index ? connection_id{} : id_of(r.connection);
  return {settings_.shard, whose.index, whose.generation, r.client_id};
}

// Without its attempts, of one whose client waits for it.
message_report dispatcher::report_of(std::uint32_t index, instant now) const {
  const auto& r = requests_[index];
  message_report result;
  result.id = id_of_request(r);
  result.service = services_[r.service].name;
  result.address = connections_[r.connection].address;
  if (r.has_fields) read_origin(fields_[index].view(), result);
  result.came = deadlines_.inserted(index);
  result.took = now - result.came;
  result.bytes = r.cost;
  result.allowed = r.attempts;
  return result;
}

std::optional<message_report> dispatcher::describe(token which, instant now) const {
  const auto index = index_of(which);
  if (index == no_index || requests_[index].connection == no_index) return std::nullopt;
  return report_of(index, now);
}

std::string dispatcher::trace_of(const request& r, std::uint32_t index) const {
  if (!r.has_fields) return {};
  const auto context = read_traceparent(find_field(fields_[index].view(), field::trace));
  return context ? hex_of(context->trace) : std::string{};
}

// Since it came; most are placed then, and of these nothing is kept.
microseconds dispatcher::placed_after(std::uint32_t index) const {
  const auto& r = requests_[index];
  const bool at_once = r.fence <= 1 && r.flow == no_index;
  return at_once ? microseconds{0} : deadlines_.placed(index);
}

// The placing in which it is now, as one that has ended like this.
attempt_report dispatcher::attempt_of(std::uint32_t index, const fate& how, instant now) {
  const auto& r = requests_[index];
  attempt_report result;
  result.node = history_.name_of(offers_[r.offer].node);
  result.why = history_.text(how.what);
  result.placed = placed_after(index);
  result.ended = std::chrono::duration_cast<microseconds>(now - deadlines_.inserted(index));
  result.ran = how.run.time;
  result.slot = how.run.slot;
  result.number = r.attempt();
  result.end = how.end;
  return result;
}

void dispatcher::keep_past(std::uint32_t index, const fate& how, instant now) {
  auto& r = requests_[index];
  if (r.connection == no_index || !(history_.enabled() || r.on_record)) return;
  history_.add_past(index, attempt_of(index, how, now));
  r.on_record = true;
}

// Takes what has become of its earlier attempts out of what is known of messages under way.
message_report dispatcher::end_of(std::uint32_t index, error_code code, instant now) {
  auto result = report_of(index, now);
  result.ended = true;
  result.code = code;
  if (requests_[index].on_record) {
    requests_[index].on_record = false;
    auto past = history_.take_past(index);
    result.attempts = std::move(past.attempts);
    result.left_out = past.left_out;
  }
  return result;
}

// For who collects traces.
void dispatcher::export_end(const message_report& what) {
  if (settings_.export_traces && what.trace && what.trace->sampled()) traced_.push_back(what);
}

void dispatcher::keep_answered(std::uint32_t index, const run_facts& run, error_code code,
                               instant now) {
  auto& times = services_[requests_[index].service].notable;
  if (code != error_code::ok) return; // those are kept by note_error
  auto report = end_of(index, code, now);
  report.attempts.push_back(attempt_of(index, {attempt_end::answered, {}, run}, now));
  export_end(report);
  if (!history_.enabled()) return;
  if (has_loss(report))
    history_.keep_failed(std::move(report));
  else if (report.took >= times.threshold())
    history_.keep_answered(std::move(report), times);
  else // it was given back before, or its trace is sampled
    history_.keep_sample(std::move(report));
}

void dispatcher::note_error(node_number from, token which, std::uint32_t fence,
                            const run_facts& run, error_code code, std::string_view text,
                            instant now) {
  const auto index = sent_to(from, which, fence);
  if (index == no_index || requests_[index].connection == no_index || !keeps_ends()) return;
  auto report = end_of(index, code, now);
  report.attempts.push_back(attempt_of(index, {attempt_end::answered, text, run}, now));
  report.detail = report.attempts.back().why;
  export_end(report);
  if (history_.enabled()) history_.keep_failed(std::move(report));
}

void dispatcher::keep_refused(std::uint32_t index, error_code code, std::string_view detail,
                              instant now, std::string_view by) {
  if (!keeps_ends()) return;
  auto report = end_of(index, code, now);
  if (requests_[index].offer != no_index)
    report.attempts.push_back(attempt_of(index, {attempt_end::withdrawn, {}}, now));
  report.detail = history_.text(detail);
  if (!by.empty()) report.cancelled_by = std::make_shared<const std::string>(by);
  export_end(report);
  if (!history_.enabled()) return;
  if (code == error_code::cancelled && by.empty() && !has_loss(report))
    history_.keep_sample(std::move(report)); // a client that goes takes thousands along
  else
    history_.keep_failed(std::move(report));
}

// It was never admitted.
void dispatcher::keep_refused(const submission& what, error_code code, std::string_view detail,
                              instant now) {
  message_report report;
  report.id = {settings_.shard, what.connection.index, what.connection.generation, what.request_id};
  report.service = services_[what.service].name;
  report.address = connections_[what.connection.index].address;
  if (what.fields) read_origin(what.fields->bytes.view(), report);
  report.came = now;
  report.bytes = static_cast<std::uint32_t>(what.payload.size());
  report.ended = true;
  report.code = code;
  report.detail = history_.text(detail);
  export_end(report);
  if (history_.keeps_refusal(now)) history_.keep_failed(std::move(report));
}

} // namespace ropewalk
