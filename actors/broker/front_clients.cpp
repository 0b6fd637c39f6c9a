#include "actors/broker/front.hpp"
#include "net/cluster/checked_cast.hpp"
#include "net/cluster/shared_loop.hpp"
#include "net/protocol/frame.hpp"
#include "net/protocol/text.hpp"
#include "net/sockets/client_doorman.hpp"
#include "net/transport/socket.hpp"

#include <cstring>
#include <spdlog/spdlog.h>

/// The front's clients: connections that come and go, frames in, answers out, and who is told to
/// leave.
namespace ropewalk {

namespace {

// How long a client may take to notice that its connection is being closed.
constexpr milliseconds closing_time{2000};

// How long accepting pauses when there is no descriptor left, and how often the log says so.
constexpr milliseconds starving_pause{100};
constexpr std::chrono::seconds starving_news{10};

// Frames that ask for no work (CANCEL, PING, HELLO, STATUS, and requests that are refused) are done
// with in a fraction of a microsecond each; a read may hold 16,000 of them. A client that sends
// more than this with a read has less read from it a turn (limits::little_read_bytes) until most of
// it is work again: the others get their turns in between.
constexpr std::uint64_t most_unpaid_frames = 256;

// So many reads in a row of work, for the most part, and as much is read from it again as from
// others.
constexpr std::uint32_t enough_paid_reads = 32;

// How often the connections are looked through for those that are over their time.
constexpr std::chrono::seconds patrol_interval{1};

shared_loop& loop_of(caf::io::broker& self) {
  return shared_loop::of(self.system());
}

} // namespace

bool front::listen() {
  hangups_ = hangup_watch::open(loop_of(*this));
  std::vector<std::string> where;
  for (const auto& address : settings_.listen) {
    auto result =
        listen_tcp(address, settings_.shard.group->size() > 1 ? port_use::shared : port_use::alone);
    if (const auto* error = std::get_if<socket_error>(&result)) {
      quit(caf::make_error(caf::sec::cannot_open_port, error->what));
      return false;
    }
    auto fd = std::get<descriptor>(std::move(result));
    where.push_back(local_endpoint(fd.get()).text());
    const auto door = caf::io::accept_handle::from_int(fd.get());
    client_door_settings at_the_door;
    at_the_door.max_message_bytes = settings_.max_message_bytes;
    at_the_door.hangups = hangups_;
    at_the_door.admit = [this](const sockaddr_storage& peer) { return let_in(peer); };
    at_the_door.speak = [this](int accepted) { return gate_.speak(accepted); };
    at_the_door.when_starved = [this, door] { starved(door); };
    add_doorman(
        caf::make_counted<client_doorman>(loop_of(*this), fd.release(), std::move(at_the_door)));
  }
  send(supervisor_, ready_atom_v, std::move(where));
  return true;
}

// No descriptor for another client: those that are there go on, the others wait in the backlog.
void front::starved(caf::io::accept_handle door) {
  now_ = clock_now();
  if (starving_doors_.empty() && now_ - last_starved_ > starving_news)
    spdlog::error("out of file descriptors at {} clients: new ones wait until some leave; raise "
                  "`ulimit -n`",
                  by_handle_.size());
  last_starved_ = now_;
  starving_doors_.push_back(door);
  expect_tick();
}

bool front::let_in(const sockaddr_storage& peer) {
  last_admission_.reset(); // if he before could not be served
  last_admission_ = settings_.shard.group->census()->admit(gatekeeper::address_of(peer));
  if (last_admission_) return true;
  ++turned_away_;
  now_ = clock_now();
  complain("too many connections: a new one is closed; raise --connections or "
           "--connections-per-address if they are meant to be so many");
  return false;
}

// What others do to the broker is logged a few times a second and no more.
void front::complain(std::string what) {
  std::uint64_t suppressed = 0;
  if (!brake_.may_say(now_, suppressed)) return;
  // What a client calls a service stands in it: that must not look like lines of ours.
  for (auto& c : what)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (suppressed > 0)
    spdlog::warn("{} (and {} complaints before it)", what, suppressed);
  else
    spdlog::warn("{}", what);
}

void front::feed_starving_doors() {
  if (now_ - last_starved_ < starving_pause) return;
  for (const auto& door : std::exchange(starving_doors_, {})) trigger(door);
}

void front::connected(caf::io::connection_handle hdl) {
  auto scribe = by_id(hdl);
  if (!scribe) return;
  now_ = clock_now();
  auto& s = sessions_.open(dispatcher_.connect());
  s.scribe.reset(&checked_cast<client_scribe>(*scribe));
  s.admission = std::exchange(last_admission_, std::nullopt);
  s.opened = s.last_heard = now_;
  if (gate_.asks_who()) s.scribe->input().set_max_payload(limits::max_hello_bytes);
  by_handle_.insert_or_assign(hdl, s.id);
  configure_read(hdl, caf::io::receive_policy::at_most(1));
  if (!std::exchange(patrolling_, true)) delayed_send(this, patrol_interval, patrol_atom_v);
}

void front::disconnected(caf::io::connection_handle hdl) {
  auto* found = find_session(hdl);
  if (!found) return;
  now_ = clock_now();
  auto& s = *found;
  if (const auto& wire = s.scribe->connection(); !wire.ready() && !wire.why().empty()) {
    ++turned_away_;
    complain("a client (" + s.scribe->addr() + ") is refused: " + wire.why());
  }
  forget(s);
  carry_out();
}

session* front::find_session(caf::io::connection_handle hdl) {
  const auto found = by_handle_.find(hdl);
  return found == by_handle_.end() ? nullptr : sessions_.find(found->second);
}

// What was decided for it before is carried out before, or never.
void front::forget(session& which) {
  by_handle_.erase(which.scribe->hdl());
  announced_bytes_ -= which.announced_bytes;
  unread_bytes_ -= which.unread_bytes;
  dispatcher_.disconnect(which.id, now_);
  sessions_.close(which);
}

void front::readable(caf::io::connection_handle hdl) {
  auto* found = find_session(hdl);
  if (!found) return;
  // Nothing below lets go of the session, or opens another.
  auto& from = *found;
  const auto guard = from.scribe;
  now_ = clock_now();
  if (guard->input_ended()) {
    from.half_closed = true;
    // Closed at the end of this turn, or of the one that brings its last answer.
    touch(from);
    return carry_out();
  }
  auto& input = guard->input();
  from.last_heard = now_;
  if (guard->without_tls()) {
    refuse(from, 0, error_code::unauthorized,
           "this port speaks TLS (ropewalk send --tls-ca FILE), and this is none");
    complain("a client (" + guard->addr() + ") is refused: it does not speak TLS");
    ++turned_away_;
    close_after_answer(from);
    return carry_out();
  }
  const auto admitted = dispatcher_.totals().admitted;
  std::uint64_t frames = 0;
  while (auto* event = input.next()) {
    ++frames;
    if (const auto* frame = std::get_if<incoming_frame>(&*event)) {
      handle(from, *frame);
    } else if (const auto* big = std::get_if<oversized_frame>(&*event)) {
      if (must_say_who(from))
        turn_away(from, big->head.id, "nobody has said who this is");
      else
        refuse(from, big->head.id, error_code::too_large,
               "the message is over " + std::to_string(settings_.max_message_bytes) +
                   " bytes; split it, or raise --max-message-bytes");
    } else {
      refuse(from, 0, error_code::bad_request, std::get<malformed_stream>(*event).reason);
      close_after_answer(from);
    }
    if (from.closing) break;
  }
  const auto unpaid = frames - (dispatcher_.totals().admitted - admitted);
  if (unpaid > most_unpaid_frames) guard->read_little(true);
  from.paid_reads = 2 * unpaid < frames ? from.paid_reads + 1 : 0;
  if (from.paid_reads == enough_paid_reads) guard->read_little(false);
  if (!input.in_message())
    from.message_since = {};
  else if (frames > 0 || from.message_since == instant{})
    from.message_since = now_;
  count_announced(from);
  carry_out();
}

// Memory for a message that is on its way counts from when its header has come.
void front::count_announced(session& from) {
  auto& input = from.scribe->input();
  announced_bytes_ += input.announced_bytes() - from.announced_bytes;
  from.announced_bytes = input.announced_bytes();
  if (from.announced_bytes == 0 ||
      dispatcher_.totals().held_bytes + announced_bytes_ <= settings_.dispatch.held_bytes)
    return;
  const auto head = input.drop_body();
  announced_bytes_ -= std::exchange(from.announced_bytes, 0);
  answer(from, head.id, error_code::busy,
         shared_bytes::borrow("the broker's memory for requests is used up"), 100);
}

bool front::must_say_who(session& from) {
  if (!gate_.asks_who() || from.who) return false;
  // Whoever showed a certificate has said it.
  from.list = gate_.list();
  from.who = from.list->by_certificate(from.scribe->connection().peer_name());
  if (from.who) from.scribe->input().set_max_payload(settings_.max_message_bytes);
  return !from.who;
}

void front::turn_away(session& from, std::uint64_t id, std::string_view why) {
  refuse(from, id, error_code::unauthorized,
         std::string{why} + ": send a token that this broker knows");
  complain("a client (" + from.scribe->addr() + ") is refused: " + std::string{why});
  ++turned_away_;
  close_after_answer(from);
}

// The first thing that a client says where the broker asks who it is. True if it may go on.
bool front::introduced(session& from, const incoming_frame& frame, const frame_fields& fields) {
  const bool text = from.scribe->input().what() == decoder::mode::text;
  const bool says_who = text ? frame.service == "AUTH" : frame.head.kind == frame_kind::hello;
  if (!says_who) {
    turn_away(from, frame.head.id,
              text ? "the first line must be AUTH TOKEN"
                   : "the first frame must be a HELLO with a token");
    return false;
  }
  from.list = gate_.list();
  from.who = from.list->by_token(text ? frame.payload.view() : fields.token);
  if (!from.who) {
    turn_away(from, frame.head.id,
              fields.token.empty() && !text ? "there is no token" : "the token is not known");
    return false;
  }
  from.scribe->input().set_max_payload(settings_.max_message_bytes);
  if (text) answer(from, frame.head.id, error_code::ok, {});
  return !text;
}

// Certificates and tokens from their files again, for those who come, and for those who are here.
void front::reload() {
  if (const auto wrong = gate_.load()) {
    spdlog::error("nothing is reloaded: {}", *wrong);
    return;
  }
  now_ = clock_now();
  sessions_.for_each([this](session& s) {
    if (!s.who || s.closing) return;
    const auto list = gate_.list();
    s.who = list ? list->same_as(*s.who) : nullptr;
    s.list = list;
    s.service = no_index; // what it may ask for is looked up again
    s.usual_fields.clear();
    if (list && !s.who) turn_away(s, 0, "its right to be here was taken back");
  });
  spdlog::info("certificates and tokens are reloaded");
  carry_out();
}

void front::handle(session& from, const incoming_frame& frame) {
  // Most clients say the same again and again.
  const auto& usual = from.usual_fields;
  if (frame.head.kind == frame_kind::request && !usual.empty() &&
      frame.fields.size() == usual.size() &&
      std::memcmp(frame.fields.data(), usual.data(), usual.size()) == 0 && frame.head.id != 0 &&
      !draining_)
    return submit(from, frame, {});
  frame_fields fields;
  if (!read_fields(frame.fields, fields))
    return refuse(from, frame.head.id, error_code::bad_request,
                  "the optional fields are cut short or of a wrong size");
  if (must_say_who(from) && !introduced(from, frame, fields)) return;
  switch (frame.head.kind) {
  case frame_kind::request:
    return handle_request(from, frame, fields);
  case frame_kind::hello:
    return handle_hello(from, fields, frame.head.id);
  case frame_kind::cancel:
    return dispatcher_.cancel(from.id, frame.head.id, now_);
  case frame_kind::ping:
    append_frame(from.scribe->output().tail(), frame_kind::pong, error_code::ok, frame.head.id, {},
                 frame.payload.view());
    return touch(from);
  case frame_kind::status:
    return handle_status(from, frame.head.id);
  case frame_kind::pong:
    return;
  case frame_kind::hello_ok:
  case frame_kind::reply:
  case frame_kind::error:
    refuse(from, frame.head.id, error_code::bad_request,
           "this kind of frame is for brokers to send");
    return close_after_answer(from);
  }
}

void front::handle_hello(session& from, const frame_fields& fields, std::uint64_t id) {
  if (fields.version != 0 && fields.version != protocol_version) {
    refuse(from, id, error_code::bad_request,
           "protocol version " + std::to_string(fields.version) +
               " is not spoken here; this broker speaks version " +
               std::to_string(protocol_version));
    return close_after_answer(from);
  }
  from.default_service = fields.service;
  field_writer limits;
  limits.u8(field::version, protocol_version)
      .u32(field::max_message_bytes, static_cast<std::uint32_t>(settings_.max_message_bytes))
      .u32(field::deadline_ms, static_cast<std::uint32_t>(settings_.dispatch.timeout.count()));
  append_frame(from.scribe->output().tail(), frame_kind::hello_ok, error_code::ok, id,
               limits.bytes(), {});
  touch(from);
}

void front::handle_request(session& from, const incoming_frame& frame, const frame_fields& fields) {
  const auto id = frame.head.id;
  if (id == 0) { // an answer with id 0 is about the connection
    refuse(from, 0, error_code::bad_request, "a request's id must not be 0");
    return close_after_answer(from);
  }
  if (draining_) return refuse(from, id, error_code::draining);
  if (!fields.key.empty() && settings_.shard.group->size() > 1)
    return refuse(from, id, error_code::bad_request,
                  "an ordering key holds for all clients, and these are spread over shards here: "
                  "leave the key out, or run the broker without --shards");
  auto name = frame.service.empty() ? fields.service : frame.service;
  if (name.empty()) name = from.default_service;
  if (name.empty())
    return refuse(from, id, error_code::bad_request,
                  "no service: name one in the request or in the hello");
  if (from.service == no_index || name != from.service_name) {
    if (from.who &&
        !from.who->may_ask(name)) { // whether there is such a service is none of its business
      complain(from.who->name + " is refused service '" + std::string{name} + "'");
      return refuse(from, id, error_code::unauthorized,
                    from.who->name + " may not ask for service '" + std::string{name} + "'");
    }
    auto found = dispatcher_.find_service(name);
    if (!found && settings_.shard.group->has_service(name)) // its node is about to join here, too
      found = dispatcher_.service_named(std::string{name});
    if (!found)
      return refuse(from, id, error_code::no_service,
                    "no worker has offered service '" +
                        std::string{name.substr(0, limits::max_service_bytes)} +
                        "'; check the name, or start one with --service NAME=HANDLER");
    from.service_name = name;
    from.service = *found;
    from.usual_fields.clear();
  }
  if (fields.priority && *fields.priority >= priorities)
    return refuse(from, id, error_code::bad_request,
                  "there is no such priority: 0 is low, 1 normal, 2 high");
  if (from.usual_fields.empty() && !fields.service.empty() &&
      frame.fields.size() == 2 + fields.service.size())
    from.usual_fields = frame.fields;
  submit(from, frame, fields);
}

void front::submit(const session& from, const incoming_frame& frame, const frame_fields& fields) {
  submission what;
  what.connection = from.id;
  what.request_id = frame.head.id;
  what.service = from.service;
  what.payload = frame.payload; // the dispatcher copies what is borrowed
  if (fields.deadline_ms) what.timeout = milliseconds{*fields.deadline_ms};
  what.attempts = fields.attempts;
  what.key = fields.key;
  if (fields.priority) what.priority = static_cast<priority>(*fields.priority);
  dispatcher_.submit(what, now_);
}

void front::answer(session& to, std::uint64_t id, error_code code, const shared_bytes& payload,
                   std::uint32_t retry_after_ms) {
  if (to.closing) return; // its last word was said
  auto& out = to.scribe->output();
  if (to.scribe->input().what() == decoder::mode::text) {
    auto& lines = to.lines;
    if (id != 0 && id != lines.next) {
      lines.early.insert_or_assign(id, text_order::kept{code, payload.own()});
      lines.early_bytes += payload.size() + text_order::cost_of_keeping;
      return touch(to); // where it is counted
    }
    append_text_answer(out.tail(), code, payload.view());
    if (id != 0) ++lines.next;
    for (auto next = lines.early.find(lines.next); next != lines.early.end();
         next = lines.early.find(lines.next)) {
      append_text_answer(out.tail(), next->second.code, next->second.payload.view());
      lines.early_bytes -= next->second.payload.size() + text_order::cost_of_keeping;
      lines.early.erase(next);
      ++lines.next;
    }
  } else {
    field_writer fields;
    if (retry_after_ms > 0) fields.u32(field::retry_after_ms, retry_after_ms);
    const auto kind = code == error_code::ok ? frame_kind::reply : frame_kind::error;
    append_header(out.tail(), kind, code, id, fields.bytes(), payload.size());
    out.append(payload);
  }
  touch(to);
}

void front::refuse(session& to, std::uint64_t id, error_code code, std::string_view detail) {
  answer(to, id, code, shared_bytes::borrow(detail.empty() ? sentence_of(code) : detail));
}

void front::touch(session& which) {
  if (which.dirty) return;
  which.dirty = true;
  dirty_sessions_.push_back(which.id);
}

void front::close_after_answer(session& which) {
  which.closing = true;
  which.since = now_;
  which.scribe->discard_input();
  which.scribe->finish_writing();
  if (!std::exchange(which.watched, true)) watched_.push_back(which.id);
  expect_tick();
}

void front::set_reading(session& which) {
  if (which.half_closed) return;
  const bool wanted = which.closing || (!which.slow && !dispatcher_.paused(which.id));
  if (wanted == which.reading) return;
  which.reading = wanted;
  if (wanted)
    which.scribe->trigger();
  else
    which.scribe->halt();
}

void front::flush(session& which) {
  which.dirty = false;
  which.scribe->flush();
  if (which.half_closed &&
      (which.closing || (dispatcher_.requests_of(which.id) == 0 && which.statuses_due == 0))) {
    const auto scribe = which.scribe;
    forget(which);
    scribe->graceful_shutdown();
    return;
  }
  count_unread(which);
  if (which.slow || which.unread_bytes <= unread_share()) return;
  which.slow = true;
  which.since = now_;
  which.sent_then = which.scribe->output().sent();
  if (!std::exchange(which.watched, true)) watched_.push_back(which.id);
  set_reading(which);
  expect_tick();
}

void front::count_unread(session& of) {
  const auto bytes = of.scribe->output().size() + of.lines.early_bytes;
  unread_bytes_ += bytes - of.unread_bytes;
  of.unread_bytes = bytes;
}

// What one client may leave unread: the less, the more all of them have left.
std::uint64_t front::unread_share() const {
  const auto left = settings_.answers_bytes - std::min(settings_.answers_bytes, unread_bytes_);
  return std::min(settings_.unread_answers_bytes, std::max(limits::unread_answers.least, left / 4));
}

void front::watch_slow_readers(instant now) {
  std::erase_if(watched_, [&](connection_id id) {
    auto* found = sessions_.find(id);
    if (!found || !found->watched) return true;
    auto& s = *found;
    const auto& out = s.scribe->output();
    if (s.closing ? now - s.since < closing_time : now - s.since < settings_.unread_answers_time) {
      if (s.closing) return false;
      // What waits for an earlier line's answer is not the client's to take.
      if (out.sent() != s.sent_then || out.empty()) {
        s.sent_then = out.sent();
        s.since = now;
      }
      count_unread(s);
      if (s.unread_bytes > unread_share() / 2) return false;
      s.slow = false;
      s.watched = false;
      set_reading(s);
      return true;
    }
    if (!s.closing)
      spdlog::warn("a client ({}) took none of its {} bytes of answers for {} ms: cut off",
                   s.scribe->addr(), out.size(), settings_.unread_answers_time.count());
    const auto scribe = s.scribe;
    forget(s);
    scribe->cut_off();
    return true;
  });
}

// Too much is left unread by all together: who has left most goes first.
void front::cut_off_the_slowest() {
  while (unread_bytes_ > settings_.answers_bytes) {
    session* worst = nullptr;
    sessions_.for_each([&](session& s) {
      if (!worst || s.unread_bytes > worst->unread_bytes) worst = &s;
    });
    if (!worst || worst->unread_bytes == 0) return;
    complain("a client (" + worst->scribe->addr() + ") is cut off: it has left " +
             std::to_string(worst->unread_bytes) +
             " bytes of answers unread, and the memory for answers is used up");
    const auto scribe = worst->scribe;
    forget(*worst);
    scribe->cut_off();
  }
}

// -- who is over the time -------------------------------------------------------------------------

void front::patrol() {
  patrolling_ = false;
  now_ = clock_now();
  sessions_.for_each([this](session& s) {
    count_unread(s); // what has left since it was last answered
    if (!s.closing && !s.half_closed) look_at(s);
  });
  cut_off_the_slowest();
  carry_out();
  if (!by_handle_.empty() && !std::exchange(patrolling_, true))
    delayed_send(this, patrol_interval, patrol_atom_v);
}

void front::look_at(session& s) {
  auto out_of_time = [&](const char* what, milliseconds limit) {
    refuse(s, 0, error_code::timeout,
           std::string{what} + " within " + std::to_string(limit.count()) + " ms");
    close_after_answer(s);
  };
  if (!s.scribe->connection().ready()) {
    if (now_ - s.opened < settings_.hello_time) return;
    complain("a client (" + s.scribe->addr() + ") is refused: it does not get on with TLS");
    ++turned_away_;
    const auto scribe = s.scribe;
    forget(s);
    return scribe->cut_off();
  }
  if (must_say_who(s)) {
    if (now_ - s.opened >= settings_.hello_time)
      turn_away(s, 0, "it has not said who it is in time");
    return;
  }
  if (!s.reading) {
    s.message_since =
        s.message_since == instant{} ? instant{} : now_; // it is the broker that waits
    return;
  }
  if (s.message_since != instant{} && now_ - s.message_since >= settings_.message_time)
    return out_of_time("the message was not complete", settings_.message_time);
  const bool idle = s.message_since == instant{} && dispatcher_.requests_of(s.id) == 0;
  if (idle && now_ - s.last_heard >= settings_.idle_time)
    out_of_time("nothing was asked", settings_.idle_time);
}

} // namespace ropewalk
