#include "actors/broker/sessions/session_timeouts.hpp"

#include "actors/admin/http_problem.hpp"
#include "net/http/http_decoder.hpp"
#include "net/http/http_limits.hpp"

#include <algorithm>

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
  if (s.http || s.text() || dispatcher_.requests_of(s.id) == 0 || !connection.output().empty() ||
      connection.unacknowledged() > 0)
    return;
  if (s.pinged == instant{}) s.pinged = now; // it has closed it since the last sweep
  if (now - s.pinged < milliseconds{limits::half_closed_ping_ms}) return;
  s.pinged = now;
  answers_.frame(s, frame_kind::ping, 0, {}, {});
}

// Who has asked nothing yet is a stranger; who has may take its time between two requests. Who is
// slow in the middle of one is told so, and nothing is said to who just stays.
void session_timeouts::check_http(session& s, instant now) {
  const bool in_message = s.message_since != instant{};
  if (!s.reading) { // it is the broker that waits
    if (in_message) s.message_since = now;
    return;
  }
  const bool in_body = s.connection->http()->in_body();
  if (in_message &&
      now - s.message_since >= (in_body ? limits_.message_time : limits_.hello_time)) {
    if (s.http->ended()) return sessions_.begin_closing(s, now);
    http_exchange::asked end;
    end.keep_alive = false;
    const auto id = s.http->begin(std::move(end));
    const auto problem = http_problem(408, {}, "the request did not come in time");
    return answers_.page(s, id, {408, http_problem_type, {}, shared_bytes::borrow(problem)});
  }
  if (in_message || !s.http->idle()) return;
  const auto idle_time = std::min(limits_.idle_time, milliseconds{limits::http_idle_ms});
  if (now - s.last_heard >= (s.http->unused() ? limits_.hello_time : idle_time))
    sessions_.begin_closing(s, now);
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
  if (s.http) return check_http(s, now);
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
