#include "actors/broker/sessions/authenticator.hpp"

#include "net/protocol/limits.hpp"

namespace ropewalk {

void authenticator::begin(session& with) const {
  if (gate_.asks_who()) with.connection->input().set_max_payload(limits::max_hello_bytes);
}

bool authenticator::must_introduce(session& with) const {
  if (!gate_.asks_who() || with.who) return false;
  // Whoever showed a certificate has said it.
  with.list = gate_.list();
  with.who = with.list->by_certificate(with.connection->transport().peer_name());
  if (with.who) with.connection->input().set_max_payload(max_message_bytes_);
  return !with.who;
}

authenticator::verdict authenticator::introduce(session& with, const incoming_frame& frame,
                                                const frame_fields& fields, instant now) {
  const bool text = with.text();
  const bool says_who = text ? frame.service == "AUTH" : frame.head.kind == frame_kind::hello;
  if (!says_who) {
    reject(with, frame.head.id,
           text ? "the first line must be AUTH TOKEN"
                : "the first frame must be a HELLO with a token",
           now);
    return verdict::rejected;
  }
  with.list = gate_.list();
  with.who = with.list->by_token(text ? frame.payload.view() : fields.token);
  if (!with.who) {
    reject(with, frame.head.id,
           fields.token.empty() && !text ? "there is no token" : "the token is not known", now);
    return verdict::rejected;
  }
  with.connection->input().set_max_payload(max_message_bytes_);
  if (!text) return verdict::go_on; // a HELLO says more than that
  answers_.answer(with, frame.head.id, error_code::ok, {});
  return verdict::introduced;
}

void authenticator::reject(session& with, std::uint64_t id, std::string_view why, instant now) {
  answers_.refuse(with, id, error_code::unauthorized,
                  std::string{why} + ": send a token that this broker knows");
  rejections_.connection(now, "a client (" + with.connection->address() +
                                  ") is refused: " + std::string{why});
  sessions_.begin_closing(with, now);
}

void authenticator::reload(instant now) {
  sessions_.for_each([&](session& s) {
    if (!s.who || !(s.is(session_state::open) || s.is(session_state::half_closed))) return;
    const auto list = gate_.list();
    s.who = list ? list->same_as(*s.who) : nullptr;
    s.list = list;
    s.service = no_index; // what it may ask for is looked up again
    s.usual_fields.clear();
    if (list && !s.who) reject(s, 0, "its right to be here was taken back", now);
  });
}

} // namespace ropewalk
