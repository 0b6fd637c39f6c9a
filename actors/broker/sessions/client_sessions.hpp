#pragma once

#include "actors/broker/sessions/authenticator.hpp"
#include "actors/broker/sessions/client_list.hpp"
#include "actors/broker/sessions/event_stream.hpp"
#include "actors/broker/sessions/http_intake.hpp"
#include "actors/broker/sessions/message_questions.hpp"
#include "actors/broker/sessions/request_intake.hpp"
#include "actors/broker/sessions/session_timeouts.hpp"
#include "actors/broker/sessions/status_queue.hpp"
#include "actors/broker/sessions/write_pressure.hpp"

#include <algorithm>
#include <memory>
#include <string>

namespace ropewalk {

/// The broker's clients, as one: what comes from their connections goes in, what the dispatcher
/// decided for them goes out. Nothing of CAF's and no clock is in here; everything runs on one
/// thread.
class client_sessions {
public:
  client_sessions(const broker_tuning& limits, client_access_settings access, dispatcher& work,
                  const request_intake::shards& others, http_guard guard = {},
                  http_side side = http_side::broker);
  client_sessions(const client_sessions&) = delete; // its parts know each other
  client_sessions& operator=(const client_sessions&) = delete;

  // -- connections ----------------------------------------------------------------------------------

  /// `permit` is kept until the connection's socket is closed.
  connection_id connected(std::shared_ptr<client_connection> connection,
                          std::shared_ptr<void> permit, instant now);

  /// It has bytes, or its end.
  void read(connection_id which, instant now);

  /// It is over. Nothing more is said to it.
  void disconnected(connection_id which, instant now);

  [[nodiscard]] std::size_t size() const { return sessions_.size(); }
  [[nodiscard]] std::uint64_t incoming_bytes() const { return sessions_.incoming_bytes(); }
  [[nodiscard]] std::uint64_t unread_bytes() const { return sessions_.unread_bytes(); }
  /// Those that hold most (list_clients).
  [[nodiscard]] std::vector<client_report> list(std::uint16_t shard, instant now) const {
    return list_clients(sessions_, dispatcher_, shard, now);
  }

  // -- what they are told ---------------------------------------------------------------------------

  void answer(const completion& whom, error_code code, const shared_bytes& payload);

  /// Refusals, and whose reading stops or goes on; takes both out of the actions.
  void carry_out(actions& decided);

  /// The turn of the loop is over: writes what was appended in it.
  void flush(instant now);
  [[nodiscard]] bool needs_flush() const {
    return sessions_.has_dirty() || intake_.turn().has_counted();
  }

  /// Somebody waits for numbers, and none are being collected.
  [[nodiscard]] bool wants_status_round() const {
    return !statuses_.in_round() && (statuses_.has_waiting() || events_.due());
  }
  void begin_status_round() { statuses_.begin_round(); }

  /// The same, and rounds have not had their part of the loop's time already (limits::status_share):
  /// later they may.
  [[nodiscard]] bool status_is_due(instant now) const {
    return wants_status_round() && now >= next_status_;
  }
  void status_took(instant::duration time, instant now) {
    next_status_ = now + std::min<instant::duration>((limits::status_share - 1) * time,
                                                     milliseconds{limits::status_wait_ms});
  }

  /// Here they are, with as much of the history as `events` needs.
  void end_status_round(const broker_report& all, const load_points& history, instant now) {
    statuses_.end_round(all, sessions_, answers_);
    if (events_.due()) events_.send(all, history, now);
  }
  /// The same of a worker's port.
  void end_status_round(const worker_report& all) { statuses_.end_round(all, sessions_, answers_); }
  [[nodiscard]] status_queue& statuses() { return statuses_; }
  [[nodiscard]] message_questions& questions() { return questions_; }
  void answer_question(const message_questions::question& what, std::vector<message_report>&& known,
                       instant now, wall_time wall) {
    message_questions::answer(what, std::move(known), sessions_, answers_, now, wall);
  }
  [[nodiscard]] event_stream& events() { return events_; }

  // -- time -----------------------------------------------------------------------------------------

  /// To be called every tick while `needs_ticks`.
  void tick(instant now) { pressure_.sweep(now); }
  [[nodiscard]] bool needs_ticks() const { return pressure_.has_watched(); }

  /// To be called every session_timeouts::interval while there are sessions.
  void check_timeouts(instant now);

  // -- the whole ------------------------------------------------------------------------------------

  /// Reads certificates and tokens, again if need be. If something is wrong with them everything
  /// stays as it was.
  result<void> load_access(instant now);
  [[nodiscard]] const client_access& gate() const { return gate_; }

  /// From now on requests are refused.
  void begin_drain() {
    intake_.begin_drain();
    http_.begin_drain();
  }

  /// True if nothing is left to be sent to anybody.
  [[nodiscard]] bool all_sent() const;

  /// Closes all that are not closing yet. (A socket that is closed with unread bytes resets, and
  /// the client may lose answers on their way: so the end of what is sent goes first, and the
  /// connection follows when the client has closed its half, or is cut off.)
  void close_all(instant now);

  /// Their permits are given back: the broker has fallen, whoever still holds connections of its.
  void abandon();

  [[nodiscard]] rejection_log& rejections() { return rejections_; }
  [[nodiscard]] std::uint64_t rejected() const { return rejections_.connections(); }

  /// Clients that left their answers unread, ever.
  [[nodiscard]] std::uint64_t cut_off() const { return pressure_.cut_off(); }

private:
  const broker_tuning limits_;
  const dispatcher& dispatcher_;
  client_access gate_;
  rejection_log rejections_;
  session_table sessions_;
  answer_writer answers_;
  status_queue statuses_;
  message_questions questions_;
  event_stream events_;
  authenticator access_;
  request_intake intake_;
  http_intake http_;
  write_pressure pressure_;
  session_timeouts timeouts_;
  instant next_status_{};
};

} // namespace ropewalk
