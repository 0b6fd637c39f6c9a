#pragma once

#include "actors/broker/sessions/session_table.hpp"
#include "actors/log/log_rate_limiter.hpp"
#include "actors/settings/tuning.hpp"

#include <cstdint>
#include <string_view>

namespace ropewalk {

/// Writes answers, and deals with clients that do not take theirs: nothing more is read from who
/// has left more than his share unread; who takes nothing for too long is cut off, and so is who
/// has left most when all of them together have left too much. Sees connections to their end: until
/// the last byte has arrived, or time is up.
class write_pressure {
public:
  write_pressure(const broker_tuning& limits, const dispatcher& work, session_table& sessions)
      : limits_(limits), dispatcher_(work), sessions_(sessions) {}

  /// Writes what was appended for this client. May be the end of the session.
  void flush(session& which, instant now);

  /// Looks at those that are slow, closing or leaving. To be called every tick while `has_watched`.
  void sweep(instant now);
  [[nodiscard]] bool has_watched() const { return !sessions_.watched().empty(); }

  /// Cuts off those that have left most, until what all have left is within the budget.
  void enforce_budget(instant now);

  /// Clients that were cut off for what they left unread, ever.
  [[nodiscard]] std::uint64_t cut_off() const { return cut_off_; }

private:
  [[nodiscard]] std::uint64_t share() const;
  [[nodiscard]] bool sweep_one(session& s, instant now);
  [[nodiscard]] bool note_progress(session& s, instant now) const;
  [[nodiscard]] bool close_if_all_arrived(session& s, instant now);
  void end_for_unread(session& s, std::string_view why, instant now);

  const broker_tuning& limits_;
  const dispatcher& dispatcher_;
  session_table& sessions_;
  log_rate_limiter log_; // its own: strangers who are refused must not hide who is cut off
  std::uint64_t cut_off_ = 0;
};

} // namespace ropewalk
