#include "actors/broker/sessions/session_table.hpp"

namespace ropewalk {

session& session_table::open(std::shared_ptr<client_connection> connection, instant now) {
  const auto id = dispatcher_.connect(std::make_shared<const std::string>(connection->address()));
  if (id.index >= sessions_.size()) sessions_.resize(id.index + 1);
  auto& s = sessions_[id.index];
  assert(!s.connection);
  s = session{};
  s.connection = std::move(connection);
  s.id = id;
  s.opened = s.last_heard = now;
  ++size_;
  return s;
}

// What was decided for it before is carried out before, or never.
std::shared_ptr<client_connection> session_table::close(session& which, instant now) {
  incoming_bytes_ -= which.incoming_bytes;
  unread_bytes_ -= which.unread_bytes;
  --size_;
  dispatcher_.disconnect(which.id, now);
  auto connection = std::move(which.connection);
  connection->keep(std::move(which.permit));
  which = session{};
  return connection;
}

void session_table::update_reading(session& which) {
  if (which.connection->input_ended()) return;
  const bool wanted =
      which.is(session_state::closing) ||
      (which.is(session_state::open) && !which.slow && !dispatcher_.paused(which.id));
  if (wanted == which.reading) return;
  which.reading = wanted;
  if (wanted)
    which.connection->resume_reading();
  else
    which.connection->pause_reading();
}

void session_table::begin_closing(session& which, instant now) {
  which.become(session_state::closing);
  which.since = now;
  which.connection->discard_input();
  which.connection->finish_writing();
  watch(which);
}

void session_table::begin_leaving(session& which, instant now) {
  which.become(session_state::leaving);
  which.since = now;
  which.taken_then = which.connection->output().sent();
  which.connection->finish_writing();
  watch(which);
}

void session_table::count_incoming(session& of, std::uint64_t bytes) {
  incoming_bytes_ += bytes - of.incoming_bytes;
  of.incoming_bytes = bytes;
}

void session_table::count_unread(session& of) {
  const auto bytes = of.connection->output().size() + of.lines.kept_bytes() +
                     (of.http ? of.http->kept_bytes() : 0);
  unread_bytes_ += bytes - of.unread_bytes;
  of.unread_bytes = bytes;
}

} // namespace ropewalk
