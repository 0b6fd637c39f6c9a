#include "actors/admin/metrics.hpp"

#include "net/protocol/limits.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>
#include <vector>

namespace ropewalk {

namespace {

constexpr std::string_view rest_name = "other";

// The upper ends of a histogram's buckets that are exported, as powers of two of ns: from 8 us to
// an hour and a bit, by fours.
constexpr std::size_t first_bound = 13;
constexpr std::size_t last_bound = 41;
constexpr std::size_t bound_step = 2;

// A number's labels as they stand in the text, and what has it.
template <class T>
struct row {
  std::string labels; // a="b",c="d", or nothing
  const T* numbers;
};

void append(std::string& out, double value) {
  char text[32];
  const auto end = std::to_chars(std::begin(text), std::end(text), value).ptr;
  out.append(text, end);
}

void append(std::string& out, std::uint64_t value) {
  char text[24];
  const auto end = std::to_chars(std::begin(text), std::end(text), value).ptr;
  out.append(text, end);
}

void append_line(std::string& out, std::string_view name, std::string_view suffix,
                 std::string_view labels, std::string_view more_labels, auto value) {
  out.append(name).append(suffix);
  if (!labels.empty() || !more_labels.empty()) {
    out.append("{").append(labels);
    if (!labels.empty() && !more_labels.empty()) out += ',';
    out.append(more_labels).append("}");
  }
  out += ' ';
  append(out, value);
  out += '\n';
}

std::string label(std::string_view name, std::string_view value) {
  std::string result{name};
  result += "=\"";
  for (const char c : one_line(value, limits::max_service_bytes)) {
    if (c == '\\' || c == '"') result += '\\';
    result += c;
  }
  return result + '"';
}

// Thousands of lines have these: made once.
std::vector<std::string> make_bound_labels() {
  std::vector<std::string> result;
  for (auto bound = first_bound; bound <= last_bound; bound += bound_step) {
    auto& le = result.emplace_back("le=\"");
    append(le, 1e-9 * static_cast<double>(std::uint64_t{1} << bound));
    le += '"';
  }
  return result;
}

std::vector<std::string> make_code_labels() {
  std::vector<std::string> result;
  for (std::size_t code = 0; code < error_counts{}.size(); ++code)
    result.push_back(label("code", name_of(static_cast<error_code>(code))));
  return result;
}

void append_value(std::string& out, std::string_view name, std::string_view labels,
                  const latency_histogram& times) {
  static const auto bounds = make_bound_labels();
  std::uint64_t below = 0;
  std::size_t exponent = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    while (exponent < first_bound + i * bound_step) below += times.buckets[exponent++];
    append_line(out, name, "_bucket", labels, bounds[i], below);
  }
  while (exponent < times.buckets.size()) below += times.buckets[exponent++];
  append_line(out, name, "_bucket", labels, "le=\"+Inf\"", below);
  append_line(out, name, "_sum", labels, {}, 1e-9 * static_cast<double>(times.sum_ns));
  append_line(out, name, "_count", labels, {}, below);
}

void append_value(std::string& out, std::string_view name, std::string_view labels,
                  const error_counts& counts) {
  // Those that never came, too: a counter that is not there before its first event is never seen to
  // grow by it, and an alert on that sleeps through it.
  static const auto codes = make_code_labels();
  for (std::size_t code = 1; code < counts.size(); ++code)
    append_line(out, name, {}, labels, codes[code], counts[code]);
}

void append_value(std::string& out, std::string_view name, std::string_view labels,
                  const run_end_counts& counts) {
  for (std::size_t how = 0; how < counts.size(); ++how)
    append_line(out, name, {}, labels, label("outcome", run_end_names[how]), counts[how]);
}

void append_value(std::string& out, std::string_view name, std::string_view labels, auto value) {
  if constexpr (std::is_same_v<decltype(value), double>)
    append_line(out, name, {}, labels, {}, value);
  else
    append_line(out, name, {}, labels, {}, static_cast<std::uint64_t>(value));
}

std::string name_for(std::string_view subject, std::string_view field, stats::measured_in unit,
                     bool is_total) {
  std::string result{subject};
  result.append("_").append(field);
  const auto end_with = [&](std::string_view suffix) {
    if (!result.ends_with(suffix)) result += suffix;
  };
  if (unit == stats::measured_in::seconds) end_with("_seconds");
  if (unit == stats::measured_in::bytes) end_with("_bytes");
  if (is_total) result += "_total";
  return result;
}

// All numbers of a kind: a number's lines have to stand together.
template <class T>
void put(std::string& out, std::string_view subject, const std::vector<row<T>>& rows) {
  stats::for_each_field<T>([&]<class Number>(const stats::described<T, Number>& f) {
    if constexpr (std::is_arithmetic_v<Number> || std::is_same_v<Number, error_counts> ||
                  std::is_same_v<Number, run_end_counts> ||
                  std::is_same_v<Number, latency_histogram>) {
      if (f.help.empty() || f.shown == stats::shown::no || rows.empty()) return;
      constexpr bool is_histogram = std::is_same_v<Number, latency_histogram>;
      const bool is_counter = f.kind == stats::kind::counter && !is_histogram;
      const auto name = name_for(subject, f.name, f.unit, is_counter);
      out.append("# HELP ").append(name).append(" ").append(f.help);
      out.append("\n# TYPE ").append(name);
      out.append(is_histogram ? " histogram\n" : is_counter ? " counter\n" : " gauge\n");
      for (const auto& one : rows) append_value(out, name, one.labels, one.numbers->*f.member);
    }
  });
}

// By name, so that it is the same ones whichever shard was asked.
std::map<std::string, service_report> named_services(const broker_report& all) {
  std::vector<const service_report*> sorted;
  for (const auto& one : all.services) sorted.push_back(&one);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->state.name < b->state.name; });
  std::map<std::string, service_report> result;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const auto name = i < max_named_services ? std::string_view{sorted[i]->state.name} : rest_name;
    result[label("service", name)].add(*sorted[i]);
  }
  return result;
}

std::map<std::string, node_report> named_nodes(const broker_report& all) {
  std::vector<const node_report*> sorted;
  for (const auto& one : all.nodes) sorted.push_back(&one);
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->name < b->name; });
  std::map<std::string, node_report> result;
  for (const auto* one : sorted) {
    auto key = label("node", one->name);
    if (result.size() >= max_named_nodes && !result.contains(key)) key = label("node", rest_name);
    auto& into = result[std::move(key)];
    stats::add_fields(into, *one);
    into.slots += one->slots;
  }
  return result;
}

void put_build(std::string& out, std::string_view version) {
  out += "# HELP ropewalk_build_info the release\n# TYPE ropewalk_build_info gauge\n";
  append_line(out, "ropewalk_build_info", {}, label("version", version), {}, std::uint64_t{1});
}

void put_certificates(std::string& out, const std::vector<certificate_report>& all) {
  std::map<std::string, const certificate_report*> certificates; // a port may show one twice
  for (const auto& one : all)
    certificates.emplace(label("port", one.port) + "," + label("name", one.name), &one);
  std::vector<row<certificate_report>> rows;
  for (const auto& [labels, one] : certificates) rows.push_back({labels, one});
  put(out, "ropewalk_certificate", rows);
}

} // namespace

std::string metrics_text(const broker_report& all) {
  std::string out;
  const auto services = named_services(all);
  const auto nodes = named_nodes(all);
  out.reserve(8192 + 8192 * services.size() + 256 * nodes.size());
  put_build(out, all.front.version);
  put<process_numbers>(out, "process", {{{}, &all.process}});
  put<front_totals>(out, "ropewalk_broker", {{{}, &all.front}});
  put<dispatch_totals>(out, "ropewalk_requests", {{{}, &all.requests}});
  std::vector<row<shard_report>> of_shards;
  for (const auto& one : all.shards)
    of_shards.push_back({label("shard", std::to_string(one.number)), &one});
  put(out, "ropewalk_shard", of_shards);
  std::vector<row<node_report>> of_nodes;
  for (const auto& [labels, one] : nodes) of_nodes.push_back({labels, &one});
  put(out, "ropewalk_node", of_nodes);
  put_certificates(out, all.certificates);
  std::vector<row<service_state>> states;
  std::vector<row<service_counts>> counts;
  for (const auto& [labels, one] : services) {
    states.push_back({labels, &one.state});
    counts.push_back({labels, &one.counts});
  }
  put(out, "ropewalk_service", states);
  put(out, "ropewalk_service", counts);
  return out;
}

// A node has at most limits::max_services.
std::string metrics_text(const worker_report& all) {
  std::string out;
  out.reserve(4096 + 4096 * all.services.size());
  put_build(out, all.node.version);
  put<process_numbers>(out, "process", {{{}, &all.process}});
  put<worker_totals>(out, "ropewalk_worker", {{{}, &all.node}});
  put_certificates(out, all.certificates);
  std::vector<row<worker_service_state>> states;
  std::vector<row<run_counts>> runs;
  for (const auto& one : all.services) {
    states.push_back({label("service", one.state.name), &one.state});
    runs.push_back({label("service", one.state.name), &one.runs});
  }
  put(out, "ropewalk_worker_service", states);
  put(out, "ropewalk_worker_service", runs);
  return out;
}

} // namespace ropewalk
