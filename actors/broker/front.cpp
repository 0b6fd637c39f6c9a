#include "actors/broker/front.hpp"

#include "net/protocol/frame.hpp"
#include "net/protocol/text.hpp"
#include "net/sockets/client_doorman.hpp"
#include "net/tcp/socket.hpp"

#include <caf/io/network/default_multiplexer.hpp>
#include <caf/io/network/native_socket.hpp>
#include <nlohmann/json.hpp>
#include <spdlog/spdlog.h>
#include <unistd.h>

namespace ropewalk {

namespace {

// Deadlines and slow readers are looked at so often, while there are any.
constexpr milliseconds tick_interval{20};

// How long a client may take to notice that its connection is being closed.
constexpr milliseconds closing_time{2000};

// How long accepting pauses when there is no descriptor left, and how often the log says so.
constexpr milliseconds starving_pause{100};
constexpr std::chrono::seconds starving_news{10};

instant clock_now() {
  return std::chrono::steady_clock::now();
}

caf::io::network::default_multiplexer& loop_of(caf::io::broker& self) {
  return static_cast<caf::io::network::default_multiplexer&>(self.backend());
}

} // namespace

front::front(caf::actor_config& config, broker_settings settings, caf::actor supervisor)
    : broker(config), settings_(std::move(settings)), supervisor_(std::move(supervisor)),
      dispatcher_(settings_.dispatch, clock_now()), started_(clock_now()), now_(started_) {}

caf::behavior front::make_behavior() {
  if (!listen()) return {};
  return {
      [this](const caf::io::new_connection_msg& msg) { connected(msg.handle); },
      [this](const caf::io::new_data_msg& msg) { readable(msg.handle); },
      [this](const caf::io::connection_closed_msg& msg) { disconnected(msg.handle); },
      [](const caf::io::acceptor_closed_msg&) {},
      [this](answers_atom, std::uint32_t node, const batch& answers) {
        take_answers(node, answers);
      },
      [this](admit_atom, node_description& description, caf::actor& gateway) {
        return admit(std::move(description), std::move(gateway));
      },
      [this](lost_atom, std::uint32_t node, const std::string& why) { lost(node, why); },
      [this](retire_atom, std::uint32_t node) {
        if (node >= members_.size() || !members_[node].present) return;
        dispatcher_.retire(node);
        finish_turn(); // what was placed goes before the word that nothing more will come
        send(members_[node].gateway, retired_atom_v);
      },
      [this](leave_atom, std::uint32_t node) {
        if (node >= members_.size() || !members_[node].present) return;
        const auto gateway = members_[node].gateway;
        lost(node, "it was drained");
        send(gateway, left_atom_v);
      },
      [this](slots_atom, std::uint32_t node, std::uint16_t service, std::uint32_t live) {
        if (node >= members_.size() || !members_[node].present) return;
        now_ = clock_now();
        dispatcher_.set_slots(node, service, live, now_);
        carry_out();
      },
      [this](failing_atom, std::uint32_t node, std::uint16_t service, bool failing) {
        if (node >= members_.size() || !members_[node].present) return;
        now_ = clock_now();
        dispatcher_.set_failing(node, service, failing, now_);
        carry_out();
      },
      [this](restarted_atom, std::uint32_t, std::uint32_t count) { restarts_ += count; },
      [this](again_atom) { tick(); },
      [this](drain_atom) { drain(); },
  };
}

// -- clients
// --------------------------------------------------------------------------------------------------------------

bool front::listen() {
  std::vector<std::string> where;
  for (const auto& address : settings_.listen) {
    auto result = listen_tcp(address);
    if (const auto* error = std::get_if<socket_error>(&result)) {
      quit(caf::make_error(caf::sec::cannot_open_port, error->what));
      return false;
    }
    auto fd = std::get<descriptor>(std::move(result));
    where.push_back(local_endpoint(fd.get()).text());
    const auto door = caf::io::network::accept_hdl_from_socket(fd.get());
    add_doorman(caf::make_counted<client_doorman>(loop_of(*this), fd.release(),
                                                  settings_.max_message_bytes,
                                                  [this, door] { starved(door); }));
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

void front::connected(caf::io::connection_handle hdl) {
  auto scribe = by_id(hdl);
  if (!scribe) return;
  const auto index = dispatcher_.connect();
  if (index >= sessions_.size()) sessions_.resize(index + 1);
  auto& s = sessions_[index];
  s = session{};
  s.scribe.reset(static_cast<client_scribe*>(&*scribe));
  s.scribe->index = index;
  s.index = index;
  by_handle_.emplace(hdl, index);
  configure_read(hdl, caf::io::receive_policy::at_most(1));
}

void front::disconnected(caf::io::connection_handle hdl) {
  const auto found = by_handle_.find(hdl);
  if (found == by_handle_.end()) return;
  now_ = clock_now();
  forget(sessions_[found->second]);
  carry_out();
}

void front::forget(session& which) {
  by_handle_.erase(which.scribe->hdl());
  dispatcher_.disconnect(which.index, now_);
  which = session{};
}

void front::readable(caf::io::connection_handle hdl) {
  auto scribe = by_id(hdl);
  if (!scribe) return;
  const caf::intrusive_ptr<client_scribe> guard{static_cast<client_scribe*>(&*scribe)};
  const auto index = guard->index;
  now_ = clock_now();
  if (guard->input_ended()) {
    sessions_[index].half_closed = true;
    // Closed at the end of this turn, or of the one that brings its last answer.
    touch(sessions_[index]);
    return carry_out();
  }
  while (auto event = guard->input().next()) {
    auto& from = sessions_[index];
    if (const auto* frame = std::get_if<incoming_frame>(&*event)) {
      handle(from, *frame);
    } else if (const auto* big = std::get_if<oversized_frame>(&*event)) {
      refuse(from, big->head.id, error_code::too_large,
             "the message is over " + std::to_string(settings_.max_message_bytes) +
                 " bytes; split it, or raise --max-message-bytes");
    } else {
      refuse(from, 0, error_code::bad_request, std::get<malformed_stream>(*event).reason);
      close_after_answer(from);
      break;
    }
    if (from.closing) break;
  }
  carry_out();
}

void front::handle(session& from, const incoming_frame& frame) {
  frame_fields fields;
  if (!read_fields(frame.fields, fields))
    return refuse(from, frame.head.id, error_code::bad_request,
                  "the optional fields are cut short or of a wrong size");
  switch (frame.head.kind) {
  case frame_kind::request:
    return handle_request(from, frame, fields);
  case frame_kind::hello:
    return handle_hello(from, fields, frame.head.id);
  case frame_kind::cancel:
    return dispatcher_.cancel(from.index, frame.head.id, now_);
  case frame_kind::ping:
    append_frame(from.scribe->output().tail(), frame_kind::pong, error_code::ok, frame.head.id, {},
                 frame.payload.view());
    return touch(from);
  case frame_kind::status:
    append_frame(from.scribe->output().tail(), frame_kind::status, error_code::ok, frame.head.id,
                 {}, status());
    return touch(from);
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
  if (id == 0) return refuse(from, 0, error_code::bad_request, "a request's id must not be 0");
  if (draining_) return refuse(from, id, error_code::draining);
  auto name = frame.service.empty() ? fields.service : frame.service;
  if (name.empty()) name = from.default_service;
  if (name.empty())
    return refuse(from, id, error_code::bad_request,
                  "no service: name one in the request or in the hello");
  if (from.service == no_index || name != from.service_name) {
    const auto found = dispatcher_.find_service(name);
    if (!found)
      return refuse(from, id, error_code::no_service,
                    "no worker has offered service '" +
                        std::string{name.substr(0, limits::max_service_bytes)} +
                        "'; check the name, or start one with --service NAME=HANDLER");
    from.service_name = name;
    from.service = *found;
  }
  submission what;
  what.connection = from.index;
  what.request_id = id;
  what.service = from.service;
  what.payload = frame.payload.own();
  if (fields.deadline_ms) what.timeout = milliseconds{*fields.deadline_ms};
  what.attempts = fields.attempts;
  what.key = fields.key;
  if (fields.priority) {
    if (*fields.priority >= priorities)
      return refuse(from, id, error_code::bad_request,
                    "there is no such priority: 0 is low, 1 normal, 2 high");
    what.priority = static_cast<priority>(*fields.priority);
  }
  dispatcher_.submit(what, now_);
}

void front::answer(session& to, std::uint64_t id, error_code code, const shared_bytes& payload,
                   std::uint32_t retry_after_ms) {
  auto& out = to.scribe->output();
  if (to.scribe->input().what() == decoder::mode::text) {
    auto& lines = to.lines;
    if (id != 0 && id != lines.next) {
      lines.early.insert_or_assign(id, text_order::kept{code, payload.own()});
      return;
    }
    append_text_answer(out.tail(), code, payload.view());
    if (id != 0) ++lines.next;
    for (auto next = lines.early.find(lines.next); next != lines.early.end();
         next = lines.early.find(lines.next)) {
      append_text_answer(out.tail(), next->second.code, next->second.payload.view());
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
  dirty_sessions_.push_back(which.index);
}

void front::close_after_answer(session& which) {
  which.closing = true;
  which.since = now_;
  which.scribe->discard_input();
  which.scribe->finish_writing();
  if (!std::exchange(which.watched, true)) watched_.push_back(which.index);
  expect_tick();
}

void front::set_reading(session& which) {
  if (which.half_closed) return;
  const bool wanted = which.closing || (!which.slow && !dispatcher_.paused(which.index));
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
  if (which.half_closed && (which.closing || dispatcher_.requests_of(which.index) == 0)) {
    const auto scribe = which.scribe;
    forget(which);
    scribe->graceful_shutdown();
    return;
  }
  if (which.slow || which.scribe->output().size() <= settings_.unread_answers_bytes) return;
  which.slow = true;
  which.since = now_;
  which.sent_then = which.scribe->output().sent();
  if (!std::exchange(which.watched, true)) watched_.push_back(which.index);
  set_reading(which);
  expect_tick();
}

// -- nodes
// ----------------------------------------------------------------------------------------------------------------

std::uint32_t front::admit(node_description description, caf::actor gateway) {
  now_ = clock_now();
  for (std::uint32_t i = 0; i < members_.size();
       ++i) // it had given up waiting for the answer to its last join
    if (members_[i].present && members_[i].gateway == gateway) lost(i, "it joined again");
  std::vector<service_offer> offers;
  std::string names;
  for (const auto& service : description.services) {
    offers.push_back({service.name, service.slots});
    names += (names.empty() ? "" : ", ") + service.name;
  }
  const auto index = dispatcher_.join(offers, now_);
  if (index >= members_.size()) members_.resize(index + 1);
  auto& m = members_[index];
  restarts_ += description.restarts;
  spdlog::info("node {} joined from {} (pid {}): {}", description.name, description.host,
               description.pid, names);
  m.description = std::move(description);
  m.gateway = std::move(gateway);
  m.present = true;
  carry_out();
  return index;
}

void front::lost(std::uint32_t node, const std::string& why) {
  if (node >= members_.size() || !members_[node].present) return;
  now_ = clock_now();
  auto& m = members_[node];
  const auto had = dispatcher_.view(node).in_flight;
  if (had > 0)
    spdlog::warn("node {} is gone ({}); {} messages go to others", m.description.name, why, had);
  else
    spdlog::info("node {} is gone ({})", m.description.name, why);
  dispatcher_.lose(node, "node " + m.description.name + " is gone (" + why + ")", now_);
  m = member{};
  carry_out();
}

void front::take_answers(std::uint32_t node, const batch& answers) {
  if (node >= members_.size() || !members_[node].present)
    return; // of a node that was declared lost: refused
  now_ = clock_now();
  batch_reader reader{answers.flat()};
  while (auto item = reader.next_answer()) {
    switch (item->end) {
    case item_end::answered: {
      const auto whom =
          dispatcher_.complete(node, item->token, item->attempt, microseconds{item->run_us}, now_);
      if (whom && whom->connection != no_index)
        answer(sessions_[whom->connection], whom->request_id, item->code, item->payload);
      break;
    }
    case item_end::returned:
      dispatcher_.give_back(node, item->token, item->attempt, now_);
      break;
    case item_end::crashed:
      dispatcher_.crash(node, item->token, item->attempt,
                        "slot on node " + members_[node].description.name +
                            " died: " + std::string{item->payload.view()},
                        now_);
      break;
    }
  }
  if (reader.malformed()) {
    spdlog::error("node {} sent a batch that makes no sense; it is let go",
                  members_[node].description.name);
    lost(node, "it sent a batch that makes no sense");
  }
  carry_out();
}

// -- turns and time
// ---------------------------------------------------------------------------------------------------------

// Carries out what the dispatcher decided, as far as that is collecting what goes out; it goes out
// when the turn ends.
void front::carry_out() {
  auto& todo = dispatcher_.pending();
  if (!todo.empty()) {
    for (const auto& p : todo.place) {
      const auto* r = dispatcher_.find(p.request);
      if (!r || r->stage != stage::placed) continue;
      auto& m = members_[p.node];
      const auto left = std::chrono::ceil<milliseconds>(r->deadline - now_).count();
      m.work.add(work_item{p.request, static_cast<std::uint32_t>(std::max<std::int64_t>(left, 0)),
                           dispatcher_.offer_of(*r), r->attempt, r->payload});
      if (!std::exchange(m.dirty, true)) dirty_members_.push_back(p.node);
    }
    for (const auto& r : todo.refuse) {
      const auto detail = r.detail.empty() ? sentence_of(r.code) : std::string_view{r.detail};
      answer(sessions_[r.connection], r.request_id, r.code, shared_bytes::borrow(detail),
             r.retry_after_ms);
    }
    for (const auto& w : todo.withdraw) {
      auto& m = members_[w.node];
      if (!m.present) continue;
      m.withdrawn.push_back({w.request, w.attempt});
      if (!std::exchange(m.dirty, true)) dirty_members_.push_back(w.node);
    }
    for (const auto index : todo.reading)
      if (sessions_[index].scribe) set_reading(sessions_[index]);
    todo.place.clear();
    todo.refuse.clear();
    todo.withdraw.clear();
    todo.reading.clear();
  }
  if (dispatcher_.needs_time()) expect_tick();
  if (turn_open_ || (dirty_sessions_.empty() && dirty_members_.empty())) return;
  turn_open_ = true;
  backend().post([this, alive = caf::strong_actor_ptr{ctrl()}] {
    if (!getf(is_terminated_flag)) finish_turn();
  });
}

// Everything that collected leaves: one message a node, one write a socket.
void front::finish_turn() {
  turn_open_ = false;
  for (const auto index : dirty_members_) {
    auto& m = members_[index];
    m.dirty = false;
    if (!m.present) continue;
    if (!m.work.empty()) send(m.gateway, work_atom_v, m.work.take());
    if (!m.withdrawn.empty()) send(m.gateway, withdraw_atom_v, std::exchange(m.withdrawn, {}));
  }
  dirty_members_.clear();
  for (const auto index : dirty_sessions_)
    if (sessions_[index].scribe) flush(sessions_[index]);
  dirty_sessions_.clear();
}

void front::expect_tick() {
  if (std::exchange(tick_expected_, true)) return;
  delayed_send(this, tick_interval, again_atom_v);
}

void front::tick() {
  tick_expected_ = false;
  now_ = clock_now();
  dispatcher_.advance(now_);
  watch_slow_readers(now_);
  carry_out();
  if (draining_) {
    if (all_done() && by_handle_.empty()) {
      spdlog::info("drained: every request is answered");
      quit(caf::exit_reason::user_shutdown);
    } else if (all_done()) {
      // A socket that is closed with unread bytes resets, and the client may lose answers on their
      // way: the end of what is sent goes first, and the connection follows when the client has
      // closed its half, or after closing_time.
      for (auto& s : sessions_)
        if (s.scribe && !s.closing) close_after_answer(s);
    } else if (now_ >= drain_end_) {
      spdlog::warn("the drain time is over: {} requests are left without an answer",
                   dispatcher_.totals().waiting + dispatcher_.totals().placed);
      quit(caf::exit_reason::user_shutdown);
    }
  }
  if (now_ - last_starved_ >= starving_pause)
    for (const auto& door : std::exchange(starving_doors_, {})) trigger(door);
  if (!watched_.empty() || !starving_doors_.empty() || draining_) expect_tick();
}

void front::watch_slow_readers(instant now) {
  std::erase_if(watched_, [&](connection_index index) {
    auto& s = sessions_[index];
    if (!s.scribe || !s.watched) return true;
    const auto& out = s.scribe->output();
    if (s.closing ? now - s.since < closing_time : now - s.since < settings_.unread_answers_time) {
      if (s.closing) return false;
      if (out.sent() != s.sent_then) {
        s.sent_then = out.sent();
        s.since = now;
      }
      if (out.size() > settings_.unread_answers_bytes / 2) return false;
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

void front::drain() {
  if (draining_) return;
  draining_ = true;
  drain_end_ = clock_now() + settings_.drain_time;
  spdlog::info("draining: {} requests in hand",
               dispatcher_.totals().waiting + dispatcher_.totals().placed);
  expect_tick();
}

bool front::all_done() const {
  if (dispatcher_.totals().waiting + dispatcher_.totals().placed > 0) return false;
  return std::all_of(sessions_.begin(), sessions_.end(),
                     [](const session& s) { return !s.scribe || s.scribe->output().empty(); });
}

std::string front::status() const {
  const auto& totals = dispatcher_.totals();
  nlohmann::json result;
  result["nodes"] = nlohmann::json::array();
  for (node_index i = 0; i < members_.size(); ++i) {
    const auto& m = members_[i];
    if (!m.present) continue;
    const auto view = dispatcher_.view(i);
    nlohmann::json services = nlohmann::json::array();
    std::uint32_t slots = 0;
    for (const auto& s : m.description.services) {
      services.push_back(s.name);
      slots += s.slots;
    }
    result["nodes"].push_back({{"name", m.description.name},
                               {"pid", m.description.pid},
                               {"address", m.description.host},
                               {"services", services},
                               {"slots", slots},
                               {"in_flight", view.in_flight},
                               {"answered", view.answered}});
  }
  nlohmann::json refused = nlohmann::json::object();
  for (int code = 1; code < error_codes; ++code)
    if (totals.refused[code] > 0)
      refused[std::string{name_of(static_cast<error_code>(code))}] = totals.refused[code];
  result["in_flight"] = totals.placed;
  result["queued"] = totals.waiting;
  result["restarts"] = restarts_;
  result["redispatched"] = totals.redispatched;
  result["submitted"] = totals.submitted;
  result["answered"] = totals.answered;
  result["refused"] = refused;
  result["stale_answers"] = totals.stale;
  result["held_bytes"] = totals.held_bytes;
  result["connections"] = by_handle_.size();
  result["draining"] = draining_;
  result["pid"] = ::getpid();
  result["uptime_seconds"] = std::chrono::duration<double>(clock_now() - started_).count();
  // Names come from nodes: what is not UTF-8 in them must not stop the status.
  return result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

} // namespace ropewalk
