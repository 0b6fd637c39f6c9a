#pragma once

#include "actors/broker/sessions/client_access.hpp"
#include "actors/broker/sessions/session_table.hpp"
#include "actors/settings/tuning.hpp"
#include "actors/stats/broker_report.hpp"
#include "actors/stats/load_history.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace ropewalk {

/// Who listens to GET /events: open pages. A round of numbers is wanted for them every second, and
/// when a node comes or goes; while nobody listens, none is. What is said is said once for all, and
/// not kept: who has not taken the last of it yet misses the next, and who has taken nothing for
/// half a minute is cut off.
class event_stream {
public:
  /// Pages at a time. A front (a shard) has so many of its own.
  static constexpr std::size_t max_listeners = 32;

  /// Nodes that come and go faster than this are shown together.
  static constexpr milliseconds min_interval{250};

  event_stream(const broker_tuning& limits, const client_access& gate, session_table& sessions)
      : limits_(limits), gate_(gate), sessions_(sessions) {}

  /// It hears from now on. False: there are max_listeners already. `as`: null if nobody asks.
  [[nodiscard]] bool add(session& who, bool http_1_0, std::shared_ptr<const access> as);

  /// A second is over.
  void begin_second() { due_ = !listeners_.empty(); }

  /// Something happened that is to be seen at once.
  void hurry(instant now) { due_ = due_ || (!listeners_.empty() && now - sent_ >= min_interval); }

  [[nodiscard]] bool due() const { return due_; }

  /// The history from here on is of interest to somebody.
  [[nodiscard]] std::uint64_t needs_points_from() const;

  /// Says it to all that are there, and may see it still.
  void send(const broker_report& all, const load_points& history, instant now);

private:
  struct listener {
    connection_id who;
    std::shared_ptr<const access> as;
    std::uint64_t next_point = 0;
    std::uint32_t missed = 0; // events in a row
    bool greeted = false;     // with all that there is so far
  };

  class round;

  [[nodiscard]] bool may_stay(listener& one) const;
  [[nodiscard]] bool send_to(listener& one, round& what, instant now);

  const broker_tuning& limits_;
  const client_access& gate_;
  session_table& sessions_;
  std::vector<listener> listeners_;
  instant sent_{};
  bool due_ = false;
};

} // namespace ropewalk
