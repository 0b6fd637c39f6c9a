#pragma once

#include "actors/time/instant.hpp"
#include "net/protocol/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>

/// Times and sizes as people write them. Pure; there is one parser of each, for the command line,
/// files of options and options of services. What is written is read again as the same number.
namespace ropewalk {

/// `250ms`, `5s`, `1h30m`, `0.5s`, `1d`: the units are us, ms, s, m, h and d, larger ones first. A
/// number without a unit is so many of `plain`; 0: it needs one. The failure says what would do.
result<microseconds> parse_duration(std::string_view text, microseconds plain);

/// How long somebody waits for an answer: a plain number is in seconds; 1 ms to 49 days.
result<std::chrono::milliseconds> parse_wait(std::string_view text);

/// Bytes: `512MiB`, `64KiB`, `2MB`, `1.5GiB`, or a number of them. Units may be written in small
/// letters; KiB, MiB, GiB and TiB are powers of 1024, kB, MB, GB and TB of 1000.
result<std::uint64_t> parse_size(std::string_view text);

/// `1h30m`, `250ms`.
std::string duration_text(microseconds time);

/// `2MiB`, or `2MB`: the largest unit of which it is a whole number.
std::string size_text(std::uint64_t bytes);

} // namespace ropewalk
