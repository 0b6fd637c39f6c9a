#pragma once

#include "actors/settings/tuning.hpp"
#include "actors/stats/broker_report.hpp"
#include "actors/stats/load_history.hpp"

#include <string>
#include <string_view>

/// What GET /events says: server-sent events, each a name and a JSON object.
namespace ropewalk {

inline constexpr std::string_view events_type = "text/event-stream";

/// What an event names: the services whose requests have waited longest, the nodes and connections
/// that have most in hand. The page says how many others there are. Making one of so many takes
/// 3 ms, every second, in which the event loop does nothing else; all of 1,000 services would take 25.
inline constexpr std::size_t max_shown_services = 100;
inline constexpr std::size_t max_shown_nodes = 100;
inline constexpr std::size_t max_shown_clients = 50;

/// `hello`, the first event of all: to whom the page is shown, and what does not change while it is.
/// `who`: empty if nobody asks. `may_act`: it may do what operator_action has, too.
std::string hello_event(std::string_view who, bool may_act, const broker_tuning& settings);

/// `points`: of the history, the oldest first: age in seconds, answered and errors a second,
/// waiting, in flight, p50, p90 and p99 in seconds.
std::string points_event(const std::vector<load_point>& points,
                         load_history::clock::time_point now);

/// `status`: as GET /status says it; with `services_left_out`, `nodes_left_out` and `all_rates`
/// if there are more than it names.
std::string status_event(const broker_report& all);

} // namespace ropewalk
