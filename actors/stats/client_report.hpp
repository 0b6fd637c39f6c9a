#pragma once

#include "actors/stats/described.hpp"

#include <cstdint>
#include <string>
#include <tuple>

namespace ropewalk {

/// What a front knows of one client's connection. Clients are as many as like to come, so that they
/// are never labels of what is exported.
struct client_report {
  std::string id; ///< of the connection: no other has it as long as the broker runs
  std::string address;
  std::string who;      ///< by the access file or its certificate; empty: nobody asks, or not yet
  std::string protocol; ///< frames, lines, http; empty: it has not said anything
  std::string state;    ///< open, half closed, closing, leaving (session_state)
  std::uint64_t in_flight = 0;
  std::uint64_t requests = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t unread_bytes = 0;
  double age_seconds = 0;
  double idle_seconds = 0;
  bool paused = false;

  static constexpr auto fields() {
    using namespace stats;
    using t = client_report;
    return std::tuple{
        described{"id", &t::id, kind::label, merge::keep},
        described{"address", &t::address, kind::label, merge::keep},
        described{"who", &t::who, kind::label, merge::keep},
        described{"protocol", &t::protocol, kind::label, merge::keep},
        described{"state", &t::state, kind::label, merge::keep},
        described{"in_flight", &t::in_flight, kind::gauge, merge::keep},
        described{"requests", &t::requests, kind::counter, merge::keep},
        described{"bytes_in", &t::bytes_in, kind::counter, merge::keep, measured_in::bytes},
        described{"bytes_out", &t::bytes_out, kind::counter, merge::keep, measured_in::bytes},
        described{"unread_bytes", &t::unread_bytes, kind::gauge, merge::keep, measured_in::bytes},
        described{"age_seconds", &t::age_seconds, kind::gauge, merge::keep, measured_in::seconds},
        described{"idle_seconds", &t::idle_seconds, kind::gauge, merge::keep, measured_in::seconds},
        described{"paused", &t::paused, kind::gauge, merge::keep},
    };
  }
};
static_assert(stats::all_described<client_report>());

/// So many are in a report: those that hold most.
inline constexpr std::size_t max_listed_clients = 200;

/// True if `a` is to be in a report before `b`: who leaves most unread, has most in flight, has asked
/// most. Of T that has these three as client_report does.
template <class T>
bool holds_more(const T& a, const T& b) {
  return std::tie(a.unread_bytes, a.in_flight, a.requests) >
         std::tie(b.unread_bytes, b.in_flight, b.requests);
}

} // namespace ropewalk
