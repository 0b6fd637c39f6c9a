#include "actors/broker/sessions/session_timeouts.hpp"

namespace ropewalk {

void session_timeouts::sweep(instant now) {
  sessions_.for_each([&](session& s) {
    sessions_.count_unread(s); // what has left since it was last answered
    if (s.is(session_state::half_closed)) ask_whether_there(s, now);
    if (s.is(session_state::open) && !s.connection->input_ended()) check(s, now);
  });
}

// Who was killed looks like who has closed the sending half and waits, until bytes come: its kernel
// answers those with a reset. Where bytes are on their way already nothing need be asked. (A line of
// text would be an answer: those who speak it cannot be asked.)
void session_timeouts::ask_whether_there(session& s, instant now) {
  const auto& connection = *s.connection;
  if (s.text() || dispatcher_.requests_of(s.id) == 0 || !connection.output().empty() ||
      connection.unacknowledged() > 0)
    return;
  if (s.pinged == instant{}) s.pinged = now; // it has closed it since the last sweep
  if (now - s.pinged < milliseconds{limits::half_closed_ping_ms}) return;
  s.pinged = now;
  answers_.frame(s, frame_kind::ping, 0, {}, {});
}

void session_timeouts::check(session& s, instant now) {
  auto end = [&](const char* what, milliseconds limit) {
    answers_.refuse(s, 0, error_code::timeout,
                    std::string{what} + " within " + std::to_string(limit.count()) + " ms");
    sessions_.begin_closing(s, now);
  };
  if (!s.connection->transport().ready()) {
    if (now - s.opened < limits_.hello_time) return;
    rejections_.connection(now, "a client (" + s.connection->address() +
                                    ") is refused: it does not get on with TLS");
    return sessions_.close(s, now)->cut_off();
  }
  if (access_.must_introduce(s)) {
    if (now - s.opened >= limits_.hello_time)
      access_.reject(s, 0, "it has not said who it is in time", now);
    return;
  }
  const bool in_message = s.message_since != instant{};
  if (!s.reading) { // it is the broker that waits
    if (in_message) s.message_since = now;
    return;
  }
  if (in_message && now - s.message_since >= limits_.message_time)
    return end("the message was not complete", limits_.message_time);
  if (!in_message && dispatcher_.requests_of(s.id) == 0 && now - s.last_heard >= limits_.idle_time)
    end("nothing was asked", limits_.idle_time);
}

} // namespace ropewalk
