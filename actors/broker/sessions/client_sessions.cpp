#include "actors/broker/sessions/client_sessions.hpp"

namespace ropewalk {

client_sessions::client_sessions(const broker_tuning& limits, client_access_settings access,
                                 dispatcher& work, const request_intake::shards& others,
                                 http_guard guard, http_side side)
    : limits_(limits), dispatcher_(work), gate_(std::move(access)), sessions_(work),
      answers_(sessions_), events_(limits_, gate_, sessions_),
      access_(gate_, limits_.max_message_bytes, sessions_, answers_, rejections_),
      intake_(limits_, others,
              {work, sessions_, answers_, access_, statuses_, questions_, rejections_}),
      http_(limits_, std::move(guard), side, others, gate_,
            {work, sessions_, answers_, access_, statuses_, questions_, rejections_}, events_),
      pressure_(limits_, work, sessions_),
      timeouts_(limits_, work, sessions_, answers_, access_, rejections_) {}

connection_id client_sessions::connected(std::shared_ptr<client_connection> connection,
                                         std::shared_ptr<void> permit, instant now) {
  auto& s = sessions_.open(std::move(connection), now);
  s.permit = std::move(permit);
  s.halvings = turn_share::first_halvings;
  s.connection->read_less(s.halvings);
  if (s.connection->http())
    http_intake::begin(s);
  else
    access_.begin(s);
  return s.id;
}

void client_sessions::read(connection_id which, instant now) {
  auto* s = sessions_.find(which);
  if (!s) return;
  if (!s->http) [[likely]]
    return intake_.read(*s, now);
  const auto events = http_.read(*s, now);
  if (auto* const still = sessions_.find(which)) intake_.share_turn(*still, events, 0);
}

void client_sessions::disconnected(connection_id which, instant now) {
  auto* s = sessions_.find(which);
  if (!s) return;
  if (const auto& wire = s->connection->transport(); !wire.ready() && !wire.why().empty()) {
    rejections_.connection(now,
                           "a client (" + s->connection->address() + ") is refused: " + wire.why());
  }
  sessions_.close(*s, now);
}

void client_sessions::answer(const completion& whom, error_code code, const shared_bytes& payload) {
  if (auto* to = sessions_.find(whom.connection))
    answers_.answer(*to, whom.request_id, code, payload);
}

void client_sessions::carry_out(actions& decided) {
  for (const auto& r : decided.refuse)
    if (auto* to = sessions_.find(r.connection))
      answers_.refuse(*to, r.request_id, r.code, r.detail, r.retry_after_ms);
  for (const auto id : decided.reading)
    if (auto* s = sessions_.find(id)) sessions_.update_reading(*s);
  decided.refuse.clear();
  decided.reading.clear();
}

void client_sessions::flush(instant now) {
  intake_.turn().end_turn();
  sessions_.flush_dirty([&](session& s) { pressure_.flush(s, now); });
}

void client_sessions::check_timeouts(instant now) {
  timeouts_.sweep(now);
  pressure_.enforce_budget(now);
}

result<void> client_sessions::load_access(instant now) {
  auto loaded = gate_.load();
  if (loaded) access_.reload(now);
  return loaded;
}

bool client_sessions::all_sent() const {
  bool all = true;
  sessions_.for_each([&](const session& s) { all = all && s.connection->output().empty(); });
  return all;
}

void client_sessions::close_all(instant now) {
  sessions_.for_each([&](session& s) {
    if (s.is(session_state::open) || s.is(session_state::half_closed))
      sessions_.begin_closing(s, now);
  });
}

void client_sessions::abandon() {
  sessions_.for_each([](session& s) { s.permit.reset(); });
}

} // namespace ropewalk
