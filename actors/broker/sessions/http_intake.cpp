#include "actors/broker/sessions/http_intake.hpp"

#include "actors/admin/http_headers.hpp"
#include "actors/admin/http_problem.hpp"
#include "actors/admin/message_pages.hpp"
#include "actors/admin/openapi.hpp"
#include "actors/admin/page.hpp"
#include "actors/broker/sessions/fields_for_handler.hpp"
#include "net/http/http_response.hpp"
#include "net/protocol/trace_context.hpp"

#include <algorithm>
#include <utility>

namespace ropewalk {

namespace {

constexpr std::string_view html_type = "text/html; charset=utf-8";

std::string allow(http_route route) {
  return "Allow: " + std::string{methods_of(route)} + "\r\n";
}

http_exchange::asked asked_by(const http_request& what) {
  http_exchange::asked result;
  result.head = what.method == "HEAD";
  result.keep_alive = what.keep_alive;
  result.http_1_0 = what.http_1_0;
  return result;
}

} // namespace

void http_intake::begin(session& with) {
  with.http = std::make_unique<http_exchange>();
}

std::uint64_t http_intake::read(session& from, instant now) {
  if (from.connection->input_ended()) {
    hear_end(from, now);
    return 0;
  }
  auto& input = *from.connection->http();
  from.last_heard = now;
  if (from.connection->without_tls()) {
    with_.rejections.connection(now, "a client (" + from.connection->address() +
                                         ") is refused: it does not speak TLS");
    handle(from, http_refusal{400, "this port speaks TLS: say https"}, now);
    return 1;
  }
  const auto admitted = with_.work.totals().admitted;
  std::uint64_t events = 0;
  while (!from.http->ended()) {
    const auto* event = input.next();
    if (!event) break;
    ++events;
    std::visit([&](const auto& what) { handle(from, what, now); }, *event);
  }
  from.requests += with_.work.totals().admitted - admitted;
  if (from.http->ended()) input.stop();
  if (!input.in_message())
    from.message_since = {};
  else if (events > 0 || from.message_since == instant{})
    from.message_since = now;
  count_incoming(from);
  return events;
}

// Who closes its half while it waits for an answer has closed the whole, as clients of HTTP do when
// somebody loses interest: what it asked for is taken back.
void http_intake::hear_end(session& from, instant now) {
  if (with_.work.requests_of(from.id) > 0) {
    with_.sessions.close(from, now)->close();
    return;
  }
  if (from.is(session_state::open)) from.become(session_state::half_closed);
  with_.sessions.touch(from);
}

// As with frames: what has come of a body counts against the memory for requests.
void http_intake::count_incoming(session& from) {
  const auto& input = *from.connection->http();
  with_.sessions.count_incoming(from, input.held_bytes());
  if (!input.in_body() ||
      with_.work.totals().held_bytes + with_.sessions.incoming_bytes() <= limits_.dispatch.memory)
    return;
  http_request none;
  reject(from, none,
         {http_status_of(error_code::busy), name_of(error_code::busy),
          "the broker's memory for requests is used up", "Retry-After: 1\r\n", true},
         {});
  from.connection->http()->stop();
  with_.sessions.count_incoming(from, 0);
}

// -- who may do what --------------------------------------------------------------------------------

std::variant<http_intake::admitted, http_intake::rejection>
http_intake::admit(const session& from, const http_request& what) const {
  admitted result;
  result.place = place_of(what.target, side_);
  const auto host =
      result.place.origin.empty() ? what.field(http_field::host) : result.place.origin;
  if (const auto why = guard_.check(host, what.field(http_field::origin),
                                    what.field(http_field::sec_fetch_site)))
    return rejection{why->status, {}, why->why, {}};
  const auto route = result.place.route;
  if (!allows(route, what.method)) {
    if (route == http_route::nothing)
      return rejection{404, {}, "there is nothing here: " + std::string{paths_of(side_)}};
    return rejection{405, {}, "this method has no meaning here", allow(route)};
  }
  const bool anybody = what.method == "OPTIONS" || route == http_route::health ||
                       route == http_route::ready || route == http_route::page ||
                       route == http_route::openapi || route == http_route::nothing;
  if (anybody || !gate_.asks_who()) return result;
  const auto list = gate_.list();
  const auto* who = list->by_certificate(from.connection->transport().peer_name());
  const auto token = bearer_token(what.field(http_field::authorization));
  if (!who && token) who = list->by_token(*token);
  if (!who)
    return rejection{401, name_of(error_code::unauthorized),
                     token ? "the token is not known" : "there is no token: Authorization: Bearer",
                     "WWW-Authenticate: Bearer\r\n", true};
  result.who = {list, who};
  if (auto why = may_not(*who, result.place)) return *std::move(why);
  return result;
}

std::optional<http_intake::rejection> http_intake::may_not(const access& who,
                                                           const http_place& place) const {
  const auto unauthorized = name_of(error_code::unauthorized);
  if (place.route == http_route::service && !who.may_ask(place.service))
    return rejection{403, unauthorized, who.name + " may not ask for this service"};
  const bool shows_all = place.route == http_route::metrics || place.route == http_route::events ||
                         (place.route == http_route::status && side_ == http_side::worker);
  if (shows_all && !who.may_see)
    return rejection{403, unauthorized,
                     who.name + " may not see this: @status or * among the services in the access "
                                "file lets him"};
  if (does_something(place.route) && !who.may_act)
    return rejection{403, unauthorized,
                     who.name + " may not do this: @admin among the services in the access file "
                                "lets him"};
  return std::nullopt;
}

void http_intake::reject(session& from, const http_request& what, const rejection& why,
                         instant now) {
  if (why.status == 401)
    with_.rejections.connection(now, "a client (" + from.connection->address() +
                                         ") is refused: " + why.why);
  auto asked = asked_by(what);
  // A body that nobody reads would be taken for the next request.
  if (why.ends_connection || what.has_body || draining_) asked.keep_alive = false;
  const auto id = from.http->begin(std::move(asked));
  const auto problem = http_problem(why.status, why.code, why.why);
  with_.answers.page(
      from, id, {why.status, http_problem_type, why.more_fields, shared_bytes::borrow(problem)});
}

// -- what is asked ----------------------------------------------------------------------------------

void http_intake::handle(session& from, const http_head& head, instant now) {
  const auto verdict = admit(from, head.request);
  if (const auto* why = std::get_if<rejection>(&verdict)) {
    reject(from, head.request, *why, now);
    return from.http->end();
  }
  if (!head.request.expects_go) return;
  from.http->call_for_body();
  from.http->write(from.connection->output());
  with_.sessions.touch(from);
}

void http_intake::handle(session& from, const http_refusal& what, instant now) {
  http_request none;
  const auto code = what.status == 413 ? error_code::too_large : error_code::bad_request;
  reject(from, none, {what.status, name_of(code), std::string{what.why}, {}, true}, now);
}

void http_intake::handle(session& from, const http_request& what, instant now) {
  const auto verdict = admit(from, what);
  if (const auto* why = std::get_if<rejection>(&verdict)) return reject(from, what, *why, now);
  const auto& as = std::get<admitted>(verdict);
  if (as.who) from.http->known_as(as.who);
  if (as.place.route == http_route::service && what.method == "POST")
    return submit(from, what, as, now);
  if (as.place.route == http_route::messages && what.method != "OPTIONS")
    return explain(from, what, as, now);
  if (as.place.route == http_route::cancel && what.method == "POST")
    return cancel(from, what, as, now);
  if (as.place.route == http_route::events && what.method == "GET")
    return listen(from, what, as, now);
  show(from, what, as);
}

void http_intake::explain(session& from, const http_request& what, const admitted& as,
                          instant now) {
  auto query = read_message_query(as.place.target);
  if (!query)
    return reject(from, what, {400, name_of(error_code::bad_request), query.why().text()}, now);
  ask(from, what, *std::move(query), as.who.get());
}

// Whoever may do that may do it to all messages, whether or not he may see them.
void http_intake::cancel(session& from, const http_request& what, const admitted& as, instant now) {
  message_query query;
  query.what = message_query::about::one;
  query.id = read_message_id(as.place.message);
  query.cancel_by = as.who ? as.who->name : "a client at " + from.connection->address();
  if (!query.id)
    return reject(from, what,
                  {400, name_of(error_code::bad_request),
                   "'" + as.place.message +
                       "' is no message's id: these look like 0.17.2-42, as `ropewalk explain "
                       "--open` shows them (a trace may have several messages)"},
                  now);
  ask(from, what, std::move(query), nullptr);
}

// `rights`: what bounds what he may see; null: nothing does.
void http_intake::ask(session& from, const http_request& what, message_query query,
                      const access* rights) {
  auto asked = asked_by(what);
  if (draining_) asked.keep_alive = false;
  const auto id = from.http->begin(std::move(asked));
  if (!with_.questions.ask(from, id, std::move(query), rights)) refuse_page(from, id);
}

void http_intake::refuse_page(session& from, std::uint64_t id) {
  with_.answers.refuse(from, id, error_code::busy,
                       "64 answers of this kind (8 about messages) are on their way to this client "
                       "already",
                       100);
}

void http_intake::show(session& from, const http_request& what, const admitted& as) {
  auto asked = asked_by(what);
  if (draining_) asked.keep_alive = false;
  const auto page = [&](http_exchange::answer answer) {
    with_.answers.page(from, from.http->begin(std::move(asked)), std::move(answer));
  };
  if (what.method == "OPTIONS") return page({204, {}, allow(as.place.route), {}});
  switch (as.place.route) {
  case http_route::health:
    return page({200, text_type, {}, shared_bytes::borrow("ok\n")});
  case http_route::ready:
    if (draining_) return page({503, text_type, {}, shared_bytes::borrow("draining\n")});
    if (side_ == http_side::broker)
      return page({200, text_type, {}, shared_bytes::borrow("ready\n")});
    asked.shows = gate_.asks_who() ? http_exchange::page::ready_or_not : http_exchange::page::ready;
    break;
  case http_route::page: {
    const auto text = the_admin_page();
    return page({200, html_type, std::string{text.fields}, shared_bytes::borrow(text.gzip)});
  }
  case http_route::openapi:
    return page({200, json_type, {}, shared_bytes::borrow(openapi_document())});
  case http_route::metrics:
    asked.shows = http_exchange::page::metrics;
    break;
  case http_route::action:
    asked.shows = http_exchange::page::action;
    asked.action = as.place.action;
    break;
  default:
    asked.shows = http_exchange::page::status;
    break;
  }
  asked.who = as.who;
  const auto id = from.http->begin(std::move(asked));
  if (!with_.statuses.ask(from, id)) refuse_page(from, id);
}

// A traceparent that is none is taken for none, as the recommendation wants it.
handler_fields http_intake::extras_of(const http_request& what, const admitted& as, bool traced) {
  handler_facts said;
  said.key = what.field(http_field::key);
  if (traced) said.trace = what.field(http_field::traceparent);
  if (as.who) said.client = as.who->name;
  return fields_for_handler(said);
}

// What it hears ends with the connection: nothing can be asked behind it, and nothing before it may
// still wait for its answer.
void http_intake::listen(session& from, const http_request& what, const admitted& as, instant now) {
  if (!from.http->idle())
    return reject(from, what, {400, {}, "ask for /events on a connection of its own"}, now);
  if (!events_.add(from, what.http_1_0, as.who))
    return reject(from, what,
                  {503,
                   {},
                   "so many pages are open already: " + std::to_string(event_stream::max_listeners),
                   "Retry-After: 10\r\n"},
                  now);
  auto asked = asked_by(what);
  asked.keep_alive = false;
  from.http->begin(std::move(asked));
}

void http_intake::submit(session& from, const http_request& what, const admitted& as, instant now) {
  const auto options = read_http_options(what);
  if (!options)
    return reject(from, what, {400, name_of(error_code::bad_request), options.why().text()}, now);
  auto asked = asked_by(what);
  if (draining_) asked.keep_alive = false;
  const auto trace = read_traceparent(what.field(http_field::traceparent));
  if (trace) asked.traceparent = trace->text();
  const auto id = from.http->begin(std::move(asked));
  if (draining_)
    return with_.answers.refuse(from, id, error_code::draining, {}, limits::draining_retry_ms);
  if (!what.field(http_field::key).empty() && shards_.several)
    return with_.answers.refuse(from, id, error_code::bad_request,
                                "an ordering key holds for all clients, and these are spread over "
                                "shards here: leave Ropewalk-Key out, or run the broker without "
                                "--shards");
  auto found = with_.work.service_to_ask(as.place.service, now);
  if (!found && shards_.has_service && shards_.has_service(as.place.service))
    found = with_.work.service_named(as.place.service);
  if (!found)
    return with_.answers.refuse(from, id, error_code::no_service,
                                dispatcher::never_offered(as.place.service));
  submission to;
  to.connection = from.id;
  to.request_id = id;
  to.service = *found;
  to.payload = what.body;
  to.key = what.field(http_field::key);
  to.timeout = options->timeout;
  to.attempts = options->attempts;
  to.priority = static_cast<priority>(options->priority);
  const auto fields = extras_of(what, as, trace.has_value());
  if (!fields.bytes.empty()) to.fields = &fields;
  with_.work.submit(to, now);
}

} // namespace ropewalk
