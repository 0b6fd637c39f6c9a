#pragma once

#include "actors/stats/described.hpp"
#include "net/protocol/error.hpp"

#include <array>
#include <cstdint>

namespace ropewalk {

/// How often each error code was the answer.
using error_counts = std::array<std::uint64_t, error_codes>;

/// What the dispatcher counts.
struct dispatch_totals {
  std::uint64_t submitted = 0;
  std::uint64_t admitted = 0;     ///< and not refused at once
  std::uint64_t answered = 0;     ///< replies and the handlers' own errors
  std::uint64_t redispatched = 0; ///< lost with their worker, and to be placed again
  std::uint64_t returned = 0;     ///< sent back unstarted, and to be placed again
  std::uint64_t stale = 0;        ///< answers of superseded attempts, refused
  error_counts refused{};
  std::uint64_t waiting = 0;
  std::uint64_t placed = 0;
  std::uint64_t held_bytes = 0;

  static constexpr auto fields() {
    using namespace stats;
    using t = dispatch_totals;
    return std::tuple{
        described{"submitted", &t::submitted, kind::counter, merge::sum}.as("requests that came"),
        described{"admitted", &t::admitted, kind::counter, merge::sum, measured_in::one, shown::no},
        described{"answered", &t::answered, kind::counter, merge::sum}.as(
            "replies and the handlers' own errors"),
        described{"redispatched", &t::redispatched, kind::counter, merge::sum}.as(
            "requests placed again because their worker was lost"),
        described{"returned", &t::returned, kind::counter, merge::sum}.as(
            "requests that a node gave back unstarted"),
        described{"stale_answers", &t::stale, kind::counter, merge::sum}.as(
            "answers of superseded attempts, refused"),
        described{"refused", &t::refused, kind::counter, merge::sum}.as(
            "requests that got an error instead of an answer, by its code"),
        described{"queued", &t::waiting, kind::gauge, merge::sum}.as(
            "requests that wait for a slot"),
        described{"in_flight", &t::placed, kind::gauge, merge::sum}.as("requests that nodes have"),
        described{"held_bytes", &t::held_bytes, kind::gauge, merge::sum, measured_in::bytes}.as(
            "what requests hold until they are answered"),
    };
  }
};
static_assert(stats::all_described<dispatch_totals>());

} // namespace ropewalk
