#include "actors/broker/sessions/request_intake.hpp"

#include "actors/admin/message_pages.hpp"
#include "actors/broker/sessions/fields_for_handler.hpp"
#include "actors/settings/units.hpp"
#include "net/protocol/cluster_greeting.hpp"

#include <algorithm>
#include <cstring>

namespace ropewalk {

namespace {

// Frames that ask for no work (CANCEL, PING, HELLO, STATUS, and requests that are refused) are done
// with in a fraction of a microsecond each; a read may hold 16,000 of them. A client that sends
// more than this with a read has as little read from it as there is (turn_share) until most of it is
// work again: the others get their turns in between.
constexpr std::uint64_t max_unpaid_frames = 256;

// So many reads in a row of work, for the most part, and as much is read from it again as from
// others.
constexpr std::uint32_t enough_paid_reads = 32;

// So many reads in a row that brought little, and it does not have to wait with those that bring much.
constexpr std::uint32_t enough_little_reads = 32;

} // namespace

void request_intake::read(session& from, instant now) {
  auto& connection = *from.connection;
  if (connection.input_ended()) {
    if (from.is(session_state::open)) take_last_line(from, now);
    if (from.is(session_state::open)) {
      from.become(session_state::half_closed);
      connection.probe_peer();
    }
    // Closed at the end of this turn, or of the one that brings its last answer.
    return with_.sessions.touch(from);
  }
  auto& input = connection.input();
  from.last_heard = now;
  if (connection.without_tls()) {
    const auto* event = input.next();
    const auto* frame = event ? std::get_if<incoming_frame>(event) : nullptr;
    if (frame && frame->service == cluster_greeting_word) return refuse_worker(from, now);
    with_.rejections.connection(now, "a client (" + connection.address() +
                                         ") is refused: it does not speak TLS");
    return refuse_and_close(from, 0, error_code::unauthorized,
                            "this port speaks TLS (ropewalk send --tls-ca FILE), and this is none",
                            now);
  }
  const auto admitted = with_.work.totals().admitted;
  std::uint64_t frames = 0;
  while (const auto* event = input.next()) {
    ++frames;
    handle(from, *event, now);
    if (from.is(session_state::closing)) break;
  }
  const auto requests = with_.work.totals().admitted - admitted;
  from.requests += requests;
  share_turn(from, frames, frames - requests);
  if (!input.in_message())
    from.message_since = {};
  else if (frames > 0 || from.message_since == instant{})
    from.message_since = now;
  count_incoming(from);
}

inline void request_intake::handle(session& from, const decoder_event& event, instant now) {
  if (const auto* frame = std::get_if<incoming_frame>(&event))
    handle(from, *frame, now);
  else if (const auto* big = std::get_if<oversized_frame>(&event))
    handle_oversized(from, big->head, now);
  else
    handle_malformed(from, std::get<malformed_stream>(event).reason, now);
}

// A last line without its newline is a request, if its end is the client's doing: what somebody in
// between has cut off must not run as something shorter.
void request_intake::take_last_line(session& from, instant now) {
  if (from.connection->transport().cut_short()) return;
  auto& input = from.connection->input();
  while (const auto* event = input.end()) handle(from, *event, now);
  from.message_since = {};
  with_.sessions.count_incoming(from, input.held_bytes());
}

void request_intake::charge(session& from, std::uint64_t frames) {
  auto& connection = *from.connection;
  const auto bytes = connection.last_read_bytes();
  turn_.count(frames, bytes);
  from.little_reads = turn_share::is_much(frames, bytes) ? 0 : from.little_reads + 1;
  if (connection.is_bulk()) {
    // Unless it is little because no more is read of it.
    if (from.little_reads >= enough_little_reads && from.halvings == 0) connection.leave_bulk();
  } else if (turn_.is_bulk(frames, bytes)) {
    connection.become_bulk();
  }
}

void request_intake::share_turn(session& from, std::uint64_t frames, std::uint64_t unpaid) {
  charge(from, frames);
  from.paid_reads = 2 * unpaid < frames ? from.paid_reads + 1 : 0;
  if (unpaid > max_unpaid_frames) from.talks_idly = true;
  if (from.paid_reads >= enough_paid_reads) from.talks_idly = false;
  const auto halvings =
      from.talks_idly ? turn_share::most_halvings : turn_.halvings(from.halvings, frames);
  // While there is no time for all, more from each would only make the turns longer.
  if (halvings < from.halvings && from.connection->is_bulk()) return;
  if (std::exchange(from.halvings, halvings) != halvings) from.connection->read_less(halvings);
}

// What has come of a message counts, whole or not, and not what it says will come: else whoever
// announces much and sends nothing would take the others' room.
void request_intake::count_incoming(session& from) {
  auto& input = from.connection->input();
  with_.sessions.count_incoming(from, input.held_bytes());
  if (with_.work.totals().held_bytes + with_.sessions.incoming_bytes() <= limits_.dispatch.memory ||
      !input.can_drop())
    return;
  const auto head = input.drop_message();
  with_.sessions.count_incoming(from, 0);
  with_.answers.refuse(from, head.id, error_code::busy,
                       "the broker's memory for requests is used up", 100);
}

void request_intake::handle_oversized(session& from, const frame_header& head, instant now) {
  if (with_.access.must_introduce(from))
    return with_.access.reject(from, head.id, "nobody has said who this is", now);
  with_.answers.refuse(from, head.id, error_code::too_large,
                       "the message is over " + size_text(limits_.max_message_bytes) +
                           "; split it, or raise --max-message-bytes");
}

void request_intake::handle_malformed(session& from, std::string_view reason, instant now) {
  if (reason == speaks_tls)
    with_.rejections.connection(
        now,
        "a client (" + from.connection->address() +
            ") is refused: it speaks TLS, and this client port does not (--tls-cert, --tls-key)");
  refuse_and_close(from, 0, error_code::bad_request, reason, now);
}

// It greets as it would a cluster port: as a request in text, that nobody else makes.
void request_intake::refuse_worker(session& from, instant now) {
  with_.rejections.connection(now,
                              "a worker (" + from.connection->address() +
                                  ") is refused: it came to the client port; its --broker must "
                                  "be this broker's --cluster address");
  refuse_and_close(
      from, 0, error_code::bad_request,
      "this is the client port, and workers join at the cluster port: --broker must be "
      "the broker's --cluster address (7071 unless told otherwise)",
      now);
}

void request_intake::handle(session& from, const incoming_frame& frame, instant now) {
  // Most clients say the same again and again.
  const auto& usual = from.usual_fields;
  if (frame.head.kind == frame_kind::request && !usual.empty() &&
      frame.fields.size() == usual.size() &&
      std::memcmp(frame.fields.data(), usual.data(), usual.size()) == 0 && frame.head.id != 0 &&
      !draining_)
    return submit(from, frame, {}, now);
  if (frame.service == cluster_greeting_word) return refuse_worker(from, now);
  const auto id = frame.head.id;
  frame_fields fields;
  if (!read_fields(frame.fields, fields))
    return with_.answers.refuse(from, id, error_code::bad_request,
                                "the optional fields are cut short or of a wrong size");
  if (with_.access.must_introduce(from) &&
      with_.access.introduce(from, frame, fields, now) != authenticator::verdict::go_on)
    return;
  switch (frame.head.kind) {
  case frame_kind::request:
    return handle_request(from, frame, fields, now);
  case frame_kind::hello:
    return handle_hello(from, fields, id, now);
  case frame_kind::cancel:
    return with_.work.cancel(from.id, id, now);
  case frame_kind::ping:
    return with_.answers.frame(from, frame_kind::pong, id, {}, frame.payload);
  case frame_kind::status:
    return handle_status(from, frame);
  case frame_kind::pong:
    return;
  case frame_kind::hello_ok:
  case frame_kind::reply:
  case frame_kind::error:
    return refuse_and_close(from, id, error_code::bad_request,
                            "this kind of frame is for brokers to send", now);
  case frame_kind::fork:
  case frame_kind::forked:
    return refuse_and_close(from, id, error_code::bad_request,
                            "this kind of frame is for workers and their handlers", now);
  }
}

// With a payload it asks about messages.
void request_intake::handle_status(session& from, const incoming_frame& frame) {
  const auto id = frame.head.id;
  bool taken = false;
  if (frame.payload.empty()) {
    taken = with_.statuses.ask(from, id);
  } else {
    auto query = read_message_query(frame.payload.view());
    if (!query) return with_.answers.refuse(from, id, error_code::bad_request, query.why().text());
    taken = with_.questions.ask(from, id, *std::move(query), from.who);
  }
  if (!taken)
    with_.answers.refuse(
        from, id, error_code::busy,
        "64 answers to STATUS (8 to questions about messages) are on their way to this "
        "client already",
        100);
}

void request_intake::handle_hello(session& from, const frame_fields& fields, std::uint64_t id,
                                  instant now) {
  if (fields.version != 0 && fields.version != protocol_version)
    return refuse_and_close(from, id, error_code::bad_request,
                            "protocol version " + std::to_string(fields.version) +
                                " is not spoken here; this broker speaks version " +
                                std::to_string(protocol_version),
                            now);
  from.default_service = fields.service;
  field_writer said;
  said.u8(field::version, protocol_version)
      .u32(field::max_message_bytes, static_cast<std::uint32_t>(limits_.max_message_bytes))
      .u32(field::deadline_ms,
           static_cast<std::uint32_t>(
               std::min(limits_.dispatch.timeout, limits_.dispatch.max_deadline).count()))
      .u32(field::concurrency, static_cast<std::uint32_t>(limits_.dispatch.connection_requests));
  with_.answers.frame(from, frame_kind::hello_ok, id, said.bytes(), {});
}

void request_intake::handle_request(session& from, const incoming_frame& frame,
                                    const frame_fields& fields, instant now) {
  const auto id = frame.head.id;
  auto refuse = [&](error_code code, std::string_view why) {
    with_.answers.refuse(from, id, code, why);
  };
  if (id == 0) // an answer with id 0 is about the connection
    return refuse_and_close(from, 0, error_code::bad_request, "a request's id must not be 0", now);
  if (draining_)
    return with_.answers.refuse(from, id, error_code::draining, {}, limits::draining_retry_ms);
  if (!fields.key.empty() && shards_.several)
    return refuse(error_code::bad_request,
                  "an ordering key holds for all clients, and these are spread over shards here: "
                  "leave the key out, or run the broker without --shards");
  auto name = frame.service.empty() ? fields.service : frame.service;
  if (name.empty()) name = from.default_service;
  if (name.empty())
    return refuse(error_code::bad_request, "no service: name one in the request or in the hello");
  if ((from.service == no_index || name != from.service_name) && !find_service(from, id, name, now))
    return;
  if (fields.priority && *fields.priority >= priorities)
    return refuse(error_code::bad_request, "there is no such priority: 0 is low, 1 normal, 2 high");
  if (from.usual_fields.empty() && !fields.service.empty() &&
      frame.fields.size() == 2 + fields.service.size())
    from.usual_fields = frame.fields;
  submit(from, frame, fields, now);
}

// False: there is none, or not for this client, and it has been told.
bool request_intake::find_service(session& from, std::uint64_t id, std::string_view name,
                                  instant now) {
  if (from.who && !from.who->may_ask(name)) { // whether there is such a service is not told
    with_.rejections.request(now,
                             from.who->name + " is refused service '" + std::string{name} + "'");
    with_.answers.refuse(from, id, error_code::unauthorized,
                         from.who->name + " may not ask for service '" + std::string{name} + "'");
    return false;
  }
  auto found = with_.work.service_to_ask(name, now);
  if (!found && shards_.has_service && shards_.has_service(name))
    found = with_.work.service_named(std::string{name});
  if (!found) {
    with_.answers.refuse(from, id, error_code::no_service, dispatcher::never_offered(name));
    return false;
  }
  from.service_name = name;
  from.service = *found;
  from.usual_fields.clear();
  return true;
}

// What its handler is to know besides the message; null: nothing.
const handler_fields* request_intake::extras_of(const session& from, const frame_fields& said) {
  if (said.key.empty() && said.trace.empty() && !from.who) [[likely]]
    return nullptr;
  fields_ = fields_for_handler(
      {said.key, said.trace, from.who ? std::string_view{from.who->name} : std::string_view{}});
  return &fields_;
}

void request_intake::submit(const session& from, const incoming_frame& frame,
                            const frame_fields& fields, instant now) {
  submission what;
  what.connection = from.id;
  what.request_id = frame.head.id;
  what.service = from.service;
  what.payload = frame.payload; // the dispatcher copies what is borrowed
  if (fields.deadline_ms) what.timeout = milliseconds{*fields.deadline_ms};
  what.attempts = fields.attempts;
  what.key = fields.key;
  what.fields = extras_of(from, fields);
  if (fields.priority) what.priority = static_cast<priority>(*fields.priority);
  with_.work.submit(what, now);
}

void request_intake::refuse_and_close(session& from, std::uint64_t id, error_code code,
                                      std::string_view why, instant now) {
  with_.answers.refuse(from, id, code, why);
  with_.sessions.begin_closing(from, now);
}

} // namespace ropewalk
