#pragma once

#include "actors/broker/sessions/authenticator.hpp"
#include "actors/settings/tuning.hpp"

namespace ropewalk {

/// Ends the sessions of clients that do not get on: with their handshake, with saying who they are,
/// with a message that they began, or that ask for nothing. Those that have closed their sending half
/// are asked now and then whether they are still there.
class session_timeouts {
public:
  /// How often `sweep` is to be called while there are sessions.
  static constexpr milliseconds interval{1000};

  session_timeouts(const broker_tuning& limits, const dispatcher& work, session_table& sessions,
                   answer_writer& answers, authenticator& access, rejection_log& rejections)
      : limits_(limits), dispatcher_(work), sessions_(sessions), answers_(answers), access_(access),
        rejections_(rejections) {}

  void sweep(instant now);

private:
  void check(session& s, instant now);
  void check_http(session& s, instant now);
  void ask_whether_there(session& s, instant now);

  const broker_tuning& limits_;
  const dispatcher& dispatcher_;
  session_table& sessions_;
  answer_writer& answers_;
  authenticator& access_;
  rejection_log& rejections_;
};

} // namespace ropewalk
