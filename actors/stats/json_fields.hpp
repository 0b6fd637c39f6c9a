#pragma once

#include "actors/stats/dispatch_totals.hpp"
#include "actors/stats/json_writer.hpp"
#include "actors/stats/latency_histogram.hpp"

#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

/// Numbers that are described by fields, as JSON. What a struct has besides gets a `put` of its own
/// in namespace ropewalk, where it is found by its json_writer.
namespace ropewalk {

template <class T>
void put_fields(json_writer& into, const T& numbers);

inline void put(json_writer& into, std::string_view text) {
  into.text(text);
}

template <class T>
requires std::is_arithmetic_v<T>
void put(json_writer& into, T number) {
  into.number(number);
}

inline void put(json_writer& into, const std::vector<std::string>& names) {
  into.begin('[');
  for (const auto& one : names) into.text(one);
  into.end(']');
}

// Only what happened, by name: most codes never come.
inline void put(json_writer& into, const error_counts& counts) {
  into.begin('{');
  for (std::size_t code = 1; code < counts.size(); ++code)
    if (counts[code] > 0) into.key(name_of(static_cast<error_code>(code))).number(counts[code]);
  into.end('}');
}

// In a text the quantiles say more than the buckets, which are for who adds several up (/metrics).
inline void put(json_writer& into, const latency_histogram& times) {
  into.begin('{');
  into.key("count").number(times.count());
  into.key("sum_seconds").number(1e-9 * static_cast<double>(times.sum_ns));
  for (const auto& [name, part] : {std::pair{"p50_seconds", 0.5}, std::pair{"p90_seconds", 0.9},
                                   std::pair{"p99_seconds", 0.99}, std::pair{"max_seconds", 1.0}})
    into.key(name).number(times.quantile(part));
  into.end('}');
}

template <class T>
requires requires {
  T::fields();
}
void put(json_writer& into, const T& numbers) {
  into.begin('{');
  put_fields(into, numbers);
  into.end('}');
}

template <class T>
void put_fields(json_writer& into, const T& numbers) {
  stats::for_each_field<T>([&](const auto& f) {
    if (f.shown == stats::shown::yes) put(into.key(f.name), numbers.*f.member);
  });
}

template <class T>
void put_list(json_writer& into, std::string_view name, const std::vector<T>& all) {
  into.key(name).begin('[');
  for (const auto& one : all) put(into, one);
  into.end(']');
}

} // namespace ropewalk
