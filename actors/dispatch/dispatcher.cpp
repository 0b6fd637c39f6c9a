#include "actors/dispatch/dispatcher.hpp"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

namespace ropewalk {

namespace {

// What a request costs the broker besides its payload, about: its record, its place in the wheel
// and in the table of ids, the allocator's share.
constexpr std::uint32_t overhead_bytes = 256;

// Answers are counted in windows of this length to know how fast a service works its queue off.
constexpr milliseconds rate_window{100};

constexpr std::string_view client_has_gone = "its client has gone away";

// The node's clock and ours need not agree on how long it took.
void count_times(service_counts& of, std::chrono::nanoseconds total, microseconds run_time) {
  const auto all = static_cast<std::uint64_t>(total.count());
  const auto ran = static_cast<std::uint64_t>(run_time.count()) * 1000;
  of.total.record(all);
  of.running.record(ran);
  of.waiting.record(all > ran ? all - ran : 0);
}

} // namespace

dispatcher::dispatcher(const dispatch_settings& settings, instant start, std::uint64_t seed)
    : settings_(settings), hash_(seed), deadlines_(start), ids_(hash_),
      service_by_name_(0, {hash_}), offers_(settings.node_bytes, seed),
      history_(settings.history_memory), grace_end_(start + settings.startup_grace) {
  settings_.timeout = std::min(settings_.timeout, settings_.max_deadline);
}

// -- names and memory -----------------------------------------------------------------------------

token dispatcher::token_of(std::uint32_t index) const {
  return token{requests_[index].generation} << 32 | index;
}

std::uint32_t dispatcher::index_of(token request) const {
  const auto index = static_cast<std::uint32_t>(request);
  if (index >= requests_.size() || requests_[index].stage == stage::free) return no_index;
  return requests_[index].generation == static_cast<std::uint32_t>(request >> 32) ? index
                                                                                  : no_index;
}

const request* dispatcher::find(token request) const {
  const auto index = index_of(request);
  return index == no_index ? nullptr : &requests_[index];
}

// The request's index, if that placing of it is with the node now.
std::uint32_t dispatcher::sent_to(node_number node, token request, std::uint32_t fence) const {
  const auto index = index_of(request);
  if (index == no_index) return no_index;
  const auto& r = requests_[index];
  if (r.stage != stage::placed || !r.sent || offers_[r.offer].node != node || r.fence != fence)
    return no_index;
  return index;
}

// Null if it was taken back, or placed anew, since, or its client has gone (end_more ends it).
request* dispatcher::to_send(const placement& what) {
  auto& r = requests_[static_cast<std::uint32_t>(what.request)]; // records stay where they are
  if (r.generation != static_cast<std::uint32_t>(what.request >> 32) || r.stage != stage::placed ||
      r.fence != what.fence)
    return nullptr;
  assert(!r.sent);
  assert(r.connection != no_index); // else its payload would be gone, and it would go out as empty
  if (!leaving_.empty() && !connections_[r.connection].in_use) [[unlikely]]
    return nullptr;
  return &r;
}

std::uint32_t dispatcher::allocate() {
  const auto index = free_requests_.take(requests_, [this] {
    request fresh;
    fresh.generation = first_generation_;
    return fresh;
  });
  requests_[index].renew();
  return index;
}

inline void dispatcher::enter_connection(std::uint32_t index, connection_index who) {
  auto& r = requests_[index];
  auto& c = connections_[who];
  r.connection = who;
  r.next_of_connection = c.first;
  if (c.first != no_index) requests_[c.first].previous_of_connection = index;
  c.first = index;
  c.bytes += r.cost;
  ++c.requests;
  services_[r.service].bytes += r.cost;
  totals_.held_bytes += r.cost;
  ids_.insert(requests_, index);
  if (!c.paused &&
      (c.bytes > settings_.connection_memory || c.requests >= settings_.connection_requests)) {
    c.paused = true;
    actions_.reading.push_back(id_of(who));
  }
}

// Takes the request out of its connection's list and of what is counted as held.
inline void dispatcher::leave_connection(std::uint32_t index) {
  auto& r = requests_[index];
  if (r.connection == no_index) return;
  ids_.erase(requests_, index);
  auto& c = connections_[r.connection];
  (r.previous_of_connection == no_index ? c.first
                                        : requests_[r.previous_of_connection].next_of_connection) =
      r.next_of_connection;
  if (r.next_of_connection != no_index)
    requests_[r.next_of_connection].previous_of_connection = r.previous_of_connection;
  c.bytes -= r.cost;
  --c.requests;
  services_[r.service].bytes -= r.cost;
  totals_.held_bytes -= r.cost;
  if (c.paused && c.bytes <= settings_.connection_memory / 2 &&
      c.requests <= settings_.connection_requests / 2) {
    c.paused = false;
    actions_.reading.push_back(id_of(r.connection));
  }
  r.connection = no_index;
}

// The request is in no list any more; whoever waits behind its key may go.
void dispatcher::release(std::uint32_t index) {
  leave_connection(index);
  deadlines_.erase(index);
  auto& r = requests_[index];
  r.payload = {};
  r.stage = stage::free;
  if (r.has_fields | r.on_record) [[unlikely]]
    forget_extras(index);
  free_requests_.give_back(index);
  if (r.lane == no_index) return;
  const auto next = services_[r.service].keys.leave(requests_, index);
  if (next != no_index) wait(next);
}

// -- clients --------------------------------------------------------------------------------------

connection_id dispatcher::connect(shared_text address) {
  const auto index = free_connections_.take(connections_);
  connections_[index].in_use = true;
  connections_[index].address = std::move(address);
  return id_of(index);
}

void dispatcher::disconnect(connection_id who, instant now) {
  assert(is_current(who));
  auto& c = connections_[who.index];
  c.in_use = false;
  const auto few = settings_.ends_per_turn / 8; // many clients may go in a turn
  if (c.requests > few) {
    if (!has_more_to_end()) submitted_then_ = totals_.submitted;
    for (const auto& t : c.turns) services_[t.service].queue.retire_flow(t.flow);
    leaving_.push_back(who.index);
  } else {
    end_requests_of(who.index, few, now);
  }
  run_ready(now);
}

// At most `max`, of who has gone away, whose place is free when none is left; how many these were.
std::uint64_t dispatcher::end_requests_of(connection_index who, std::uint64_t max, instant now) {
  auto& c = connections_[who];
  std::uint64_t ended = 0;
  for (; c.first != no_index; ++ended) {
    if (ended == max) return ended;
    const auto index = c.first;
    keep_refused(index, error_code::cancelled, client_has_gone, now);
    if (requests_[index].stage == stage::placed) {
      abandon(index);
    } else {
      stop_waiting(index);
      release(index);
    }
  }
  for (const auto& t : c.turns) services_[t.service].queue.close_flow(t.flow);
  const auto next_generation = c.generation + 1;
  c = connection{};
  c.generation = next_generation;
  free_connections_.give_back(who);
  return ended;
}

// As many as have come meanwhile, at least: what is to be ended does not grow, however many come
// and go.
void dispatcher::end_more(instant now) {
  const auto came = totals_.submitted - std::exchange(submitted_then_, totals_.submitted);
  const auto max = std::max<std::uint64_t>(settings_.ends_per_turn, came);
  for (auto left = max; !leaving_.empty() && left > 0;) {
    left -= end_requests_of(leaving_.back(), left, now);
    if (connections_[leaving_.back()].first == no_index) leaving_.pop_back();
  }
  if (expired_are_left_) end_expired(max, now);
  run_ready(now);
}

void dispatcher::end_expired(std::uint64_t max, instant now) {
  expired_.clear();
  expired_are_left_ = deadlines_.advance(now, expired_, max);
  for (const auto index : expired_)
    refuse(index, error_code::timeout, why_late(requests_[index], now), now);
}

// True if it was refused: a limit is reached.
bool dispatcher::over_a_limit(const submission& what, std::uint32_t cost, instant now) {
  const auto& s = services_[what.service];
  std::string_view which;
  if (s.waiting() >= settings_.queue)
    which = "this service's queue is full";
  else if (s.bytes + cost > settings_.service_memory)
    which = "this service's share of the broker's memory is used up";
  else if (totals_.held_bytes + cost > settings_.memory)
    which = "the broker's memory for requests is used up";
  else
    return false;
  refuse(what, error_code::busy, std::string{which}, now, retry_after_ms(s));
  return true;
}

void dispatcher::keep_fields(std::uint32_t index, const handler_fields& fields) {
  if (index >= fields_.size()) {
    fields_.resize(requests_.size());
    trace_tags_.resize(requests_.size());
  }
  fields_[index] = fields.bytes.own();
  trace_tags_[index] = fields.trace_tag;
  requests_[index].has_fields = true;
  requests_[index].on_record = fields.sampled && keeps_ends();
  requests_[index].cost += static_cast<std::uint32_t>(fields.bytes.size());
}

// What only some requests have.
void dispatcher::forget_extras(std::uint32_t index) {
  if (requests_[index].has_fields) {
    fields_[index] = {};
    trace_tags_[index] = 0;
  }
  if (requests_[index].on_record) history_.take_past(index);
}

void dispatcher::refuse_second(const submission& what, instant now) {
  refuse(what, error_code::bad_request,
         "a request with this id still waits for its answer on this connection; this is the answer "
         "to the second one",
         now);
}

void dispatcher::refuse_unserved(const submission& what, instant now) {
  const auto& s = services_[what.service];
  if (offers_.all_failing(what.service))
    refuse(what, error_code::worker_lost,
           "service " + s.name + " is failing: its workers keep crashing", now);
  else
    refuse(what, error_code::no_service, no_node_for(s, now), now);
}

void dispatcher::submit(const submission& what, instant now) {
  assert(is_current(what.connection));
  ++totals_.submitted;
  ++services_[what.service].counts.submitted;
  const auto id_hash = ids_.hash_of(what.connection.index, what.request_id);
  if (ids_.find(requests_, what.connection.index, what.request_id, id_hash) != no_index)
    return refuse_second(what, now);
  auto& s = services_[what.service];
  const auto cost =
      static_cast<std::uint32_t>(what.payload.size() + what.key.size()) + overhead_bytes;
  if (over_a_limit(what, cost, now)) return;
  if (offers_.all_failing(what.service) || (s.unoffered && refuses_unoffered(s, now)))
    return refuse_unserved(what, now);
  const auto timeout =
      what.timeout ? std::min(*what.timeout, settings_.max_deadline) : settings_.timeout;
  if (timeout <= milliseconds{0}) return refuse(what, error_code::timeout, {}, now);

  ++totals_.admitted;
  const auto index = allocate();
  auto& r = requests_[index];
  r.payload.keep(what.payload);
  r.client_id = what.request_id;
  r.service = what.service;
  r.priority = what.priority;
  r.attempts =
      std::clamp<std::uint8_t>(what.attempts.value_or(settings_.attempts), 1, settings_.attempts);
  r.cost = cost;
  if (what.fields) [[unlikely]]
    keep_fields(index, *what.fields);
  r.id_hash = id_hash;
  r.deadline = now + timeout;
  deadlines_.insert(index, r.deadline, now);
  s.counts.bytes_in += what.payload.size();
  enter_connection(index, what.connection.index);

  if (!what.key.empty() && !s.keys.enter(requests_, index, what.key)) {
    ++totals_.waiting;
    return;
  }
  const auto to = s.queue.empty() ? offers_.choose(what.service, what.connection.index) : no_index;
  if (to != no_index) return place(index, to); // most of the time, and nothing waits
  wait(index);
  ++totals_.waiting;
  run_ready(now);
}

void dispatcher::cancel(connection_id who, std::uint64_t request_id, instant now,
                        std::string_view by) {
  assert(is_current(who));
  const auto index =
      ids_.find(requests_, who.index, request_id, ids_.hash_of(who.index, request_id));
  if (index == no_index) return;
  refuse(index, error_code::cancelled, by.empty() ? "" : "who runs the broker has taken it back",
         now, by);
  run_ready(now);
}

// -- waiting and being placed ---------------------------------------------------------------------

// Puts a fresh request where it waits for a slot.
void dispatcher::wait(std::uint32_t index) {
  const auto& r = requests_[index];
  services_[r.service].queue.add(requests_, index, flow_of(r));
  mark_runnable(r.service);
}

std::uint32_t dispatcher::flow_of(const request& r) {
  auto& c = connections_[r.connection];
  for (const auto& t : c.turns)
    if (t.service == r.service && t.at == r.priority) return t.flow;
  const auto fresh = services_[r.service].queue.open_flow(r.priority);
  if (!c.in_use) services_[r.service].queue.retire_flow(fresh);
  c.turns.push_back({r.service, r.priority, fresh});
  return fresh;
}

void dispatcher::mark_runnable(service_index which) {
  if (std::exchange(services_[which].runnable, true)) return;
  runnable_.push_back(which);
}

// The end of every event: what may go, goes.
void dispatcher::run_ready(instant now) {
  while (!runnable_.empty()) {
    const auto which = runnable_.back();
    runnable_.pop_back();
    services_[which].runnable = false;
    dispatch_service(services_[which], which, now);
  }
}

void dispatcher::dispatch_service(service& s, service_index which, instant now) {
  while (!s.queue.empty()) {
    const auto to = offers_.choose(which, no_index);
    if (to == no_index) {
      if (offers_.all_failing(which)) refuse_all_waiting(which, now);
      return;
    }
    const auto index = s.queue.take(requests_, now);
    if (index == no_index) { // retries, and no budget for them now: `advance` looks again
      if (!std::exchange(s.paced, true)) paced_.push_back(which);
      return;
    }
    --totals_.waiting;
    if (!leaving_.empty() && !connections_[requests_[index].connection].in_use) [[unlikely]] {
      keep_refused(index, error_code::cancelled, client_has_gone, now);
      release(index);
      continue;
    }
    place(index, to);
    deadlines_.set_placed(index, now);
  }
}

void dispatcher::place(std::uint32_t index, std::uint32_t to) {
  auto& r = requests_[index];
  if (r.fence == 0) services_[r.service].queue.budget().earn();
  ++r.fence; // 2^32 placings do not fit into the longest deadline
  r.sent = false;
  offers_.place(requests_, index, to);
  ++totals_.placed;
  placed_.push_back({token_of(index), r.fence});
}

// -- nodes ----------------------------------------------------------------------------------------

node_number dispatcher::join(const std::vector<service_offer>& what, instant now,
                             std::string_view name) {
  const auto joined = next_node_++;
  if (!name.empty()) history_.name_node(joined, name);
  for (const auto& brought : what) {
    const auto which = service_named(brought.name);
    const auto offer =
        offers_.add(joined, which, brought.slots,
                    credit{brought.slots, settings_.node_prefetch, settings_.node_prefetch_time});
    offers_[offer].min_slots = brought.min_slots;
    services_[which].queue.budget().slots(offers_.slots_of(which));
    services_[which].unoffered = false;
    mark_runnable(which);
  }
  run_ready(now);
  return joined;
}

void dispatcher::lose(node_number lost, std::string_view what, instant now) {
  if (offers_.of_node(lost).empty()) return;
  offers_.close(lost); // nothing goes back there
  for (const auto which : offers_.of_node(lost)) {
    // A gateway starts a service's messages in the order in which they came: the first `slots` were
    // running, the others waited. Slots that run what others asked for are not among them
    // (set_slots). What is to run alone may still be waiting for that, and may have been overtaken.
    // What may be started only once is not risked.
    const auto& o = offers_[which];
    std::vector<std::uint32_t> running;
    std::vector<std::uint32_t> waiting;
    std::uint32_t in_order = 0;
    for (auto i = o.placed.head(); i != no_index; i = requests_[i].next) {
      const auto& r = requests_[i];
      const bool may_run = r.sent && (r.alone || in_order < o.slots || r.attempts == 1);
      if (!r.alone) ++in_order;
      (may_run ? running : waiting).push_back(i);
    }
    for (const auto i : running) charge(i, {attempt_end::node_lost, what}, now);
    for (auto i = waiting.rbegin(); i != waiting.rend(); ++i) {
      if (requests_[*i].sent) keep_past(*i, {attempt_end::returned, what}, now);
      if (return_unstarted(*i)) count_redispatched(o.service);
    }
  }
  std::vector<service_index> services;
  for (const auto which : offers_.of_node(lost)) services.push_back(offers_[which].service);
  offers_.remove_all(lost);
  history_.forget_node(lost);
  for (const auto which : services) {
    if (!offers_.is_offered(which)) {
      services_[which].unoffered = true;
      services_[which].unoffered_since = now;
      if (settings_.refuse_unoffered) refuse_unoffered(which, now);
    }
    services_[which].queue.budget().slots(offers_.slots_of(which));
    mark_runnable(which);
  }
  run_ready(now);
}

void dispatcher::retire(node_number which, instant now) {
  offers_.close(which);
  for (const auto index : offers_.of_node(which)) keep_unsent(index);
  run_ready(now);
}

// What was placed there and has not left goes elsewhere.
void dispatcher::keep_unsent(std::uint32_t offer) {
  std::vector<std::uint32_t> unsent;
  for (auto i = offers_[offer].placed.tail(); i != no_index && !requests_[i].sent;
       i = requests_[i].previous)
    unsent.push_back(i);
  for (const auto i : unsent) return_unstarted(i);
  mark_runnable(offers_[offer].service);
}

void dispatcher::set_failing(node_number which, std::uint32_t offer, bool failing, instant now) {
  if (offer >= offers_.of_node(which).size()) return;
  const auto index = offers_.of_node(which)[offer];
  offers_.set_failing(index, failing);
  if (failing) keep_unsent(index);
  mark_runnable(offers_[index].service);
  run_ready(now);
}

void dispatcher::set_slots(node_number which, std::uint32_t offer, std::uint32_t slots,
                           instant now) {
  if (offer >= offers_.of_node(which).size()) return;
  const auto index = offers_.of_node(which)[offer];
  offers_.set_slots(index, slots);
  mark_runnable(offers_[index].service);
  run_ready(now);
}

void dispatcher::set_drained(node_number which, bool drained, instant now) {
  offers_.set_drained(which, drained);
  for (const auto index : offers_.of_node(which)) keep_unsent(index);
  run_ready(now);
}

void dispatcher::set_paused(service_index which, bool paused, instant now) {
  offers_.set_paused(which, paused);
  for (const auto index : offers_.of_service(which)) keep_unsent(index);
  mark_runnable(which);
  run_ready(now);
}

void dispatcher::refuse_all_waiting(service_index which, instant now) {
  auto& s = services_[which];
  for (auto index = s.queue.any(); index != no_index; index = s.queue.any())
    refuse(index, error_code::worker_lost,
           "service " + s.name + " is failing: its workers keep crashing", now);
}

std::uint32_t dispatcher::waiting_for_slot(std::string_view name, node_number of) const {
  const auto which = find_service(name);
  if (!which) return 0;
  for (const auto index : offers_.of_node(of)) // what is closed to work gets none of it
    if (offers_[index].service == *which)
      return offers_[index].closed ? 0 : services_[*which].queue.ready();
  return 0;
}

void dispatcher::count_answer(service& s, instant now) {
  ++s.answers;
  if (now - s.window < rate_window) return;
  const auto seconds = std::chrono::duration<double>(now - s.window).count();
  s.answers_per_second = s.answers / seconds;
  s.answers = 0;
  s.window = now;
  s.notable.advance(now);
}

std::optional<completion> dispatcher::complete(node_number from, token which, std::uint32_t fence,
                                               microseconds run_time, instant now,
                                               answer_facts what) {
  const auto index = sent_to(from, which, fence);
  if (index == no_index) {
    ++totals_.stale;
    return std::nullopt;
  }
  const auto& r = requests_[index];
  const auto service = r.service;
  auto& s = services_[service];
  const completion result{r.connection == no_index ? connection_id{} : id_of(r.connection),
                          r.client_id};
  auto& o = offers_[r.offer];
  o.credit.ran_for(run_time);
  ++o.answered;
  o.rest = milliseconds{0};
  o.resting = false; // `unplace` sees to what follows
  if (r.connection != no_index) {
    const auto took = now - deadlines_.inserted(index);
    ++totals_.answered;
    count_times(s.counts, took, run_time);
    if (took >= s.notable.threshold() || r.on_record) [[unlikely]]
      keep_answered(index, {run_time, what.slot}, what.code, now);
  }
  s.counts.bytes_out += what.bytes;
  if (what.code != error_code::ok) [[unlikely]] {
    ++s.counts.errors[static_cast<std::size_t>(what.code)];
    if (what.code == error_code::failed) ++o.failed;
  }
  count_answer(s, now);
  unplace(index);
  release(index);
  if (!s.queue.empty()) mark_runnable(service);
  run_ready(now);
  return result;
}

void dispatcher::give_back(node_number from, token which, std::uint32_t fence, instant now) {
  const auto index = sent_to(from, which, fence);
  if (index == no_index) return;
  const auto offer = requests_[index].offer;
  offers_[offer].credit.stalled();
  rest(offer, now);
  keep_past(index, {attempt_end::returned, {}}, now);
  if (return_unstarted(index)) {
    ++totals_.returned;
    ++services_[offers_[offer].service].counts.returned;
  }
  mark_runnable(offers_[offer].service);
  run_ready(now);
}

// What has just come back is not to go there again at once. Several that come back together are one
// reason to pause.
void dispatcher::rest(std::uint32_t offer, instant now) {
  if (!offers_[offer].resting) resting_.push_back(offer);
  offers_.rest(offer, now);
}

void dispatcher::crash(node_number from, token which, std::uint32_t fence, std::string_view what,
                       instant now, const run_facts& run) {
  crash(from, which, fence, {attempt_end::crashed, what, run}, now);
}

void dispatcher::crash(node_number from, token which, std::uint32_t fence, const fate& how,
                       instant now) {
  const auto index = sent_to(from, which, fence);
  if (index == no_index) return;
  const auto service = requests_[index].service;
  charge(index, how, now);
  mark_runnable(service);
  run_ready(now);
}

bool dispatcher::start_failed_again(node_number from, token which, std::uint32_t fence, instant now,
                                    std::string_view what, const run_facts& run) {
  const auto index = sent_to(from, which, fence);
  if (index == no_index) return false;
  const auto& r = requests_[index];
  if (r.connection == no_index || r.charged + 1 >= r.attempts) return false;
  crash(from, which, fence, {attempt_end::failed, what, run}, now);
  return true;
}

void dispatcher::crash_among_others(node_number from, token which, std::uint32_t fence,
                                    std::string_view what, instant now, const run_facts& run) {
  const auto index = sent_to(from, which, fence);
  if (index == no_index) return;
  requests_[index].alone = true;
  crash(from, which, fence, {attempt_end::suspect, what, run}, now);
}

void dispatcher::interrupt(node_number from, token which, std::uint32_t fence,
                           std::string_view what, instant now, const run_facts& run) {
  const auto index = sent_to(from, which, fence);
  if (index == no_index) return;
  auto& r = requests_[index];
  const fate how{attempt_end::interrupted, what, run};
  if (r.attempts == 1) return crash(from, which, fence, how, now);
  keep_past(index, how, now);
  constexpr auto max = std::numeric_limits<std::uint8_t>::max();
  if (r.attempts < max) { // its handler is to see that it was started before
    ++r.attempts;
    ++r.charged;
  }
  rest(r.offer, now);
  mark_runnable(r.service);
  const auto service = r.service;
  if (return_unstarted(index)) count_redispatched(service);
  run_ready(now);
}

void dispatcher::unplace(std::uint32_t index) {
  offers_.unplace(requests_, index);
  --totals_.placed;
}

// It had not been started: it goes first when there is room, and is not charged. False if nobody
// waits for it any more.
bool dispatcher::return_unstarted(std::uint32_t index) {
  unplace(index);
  const auto& r = requests_[index];
  if (r.connection == no_index) {
    release(index);
    return false;
  }
  services_[r.service].queue.add_returned(requests_, index);
  ++totals_.waiting;
  return true;
}

// Its worker was lost while running it.
void dispatcher::charge(std::uint32_t index, const fate& how, instant now) {
  keep_past(index, how, now);
  unplace(index);
  auto& r = requests_[index];
  if (r.connection == no_index) return release(index);
  if (++r.charged < r.attempts) return run_again(index);
  announce(index, error_code::worker_lost,
           "its worker was lost " + std::to_string(r.charged) +
               (r.charged == 1 ? " time" : " times") +
               " while running it; the last time: " + std::string{how.what},
           now);
  release(index);
}

void dispatcher::run_again(std::uint32_t index) {
  const auto service = requests_[index].service;
  services_[service].queue.add_retry(requests_, index);
  ++services_[service].counts.retries;
  count_redispatched(service);
  ++totals_.waiting;
}

void dispatcher::count_redispatched(service_index which) {
  ++totals_.redispatched;
  ++services_[which].counts.redispatched;
}

// -- answers that are not replies -----------------------------------------------------------------

std::uint32_t dispatcher::retry_after_ms(const service& s) const {
  // A tenth of what waits is to be worked off first: then there is room for whoever comes back.
  const auto rate = std::max(1.0, s.answers_per_second);
  return static_cast<std::uint32_t>(std::clamp(s.waiting() / 10.0 / rate * 1000, 20.0, 10'000.0));
}

void dispatcher::refuse(const submission& what, error_code code, std::string detail, instant now,
                        std::uint32_t retry_after) {
  count_refused(what.service, code);
  if (settings_.export_traces || history_.may_keep_refusal(now))
    keep_refused(what, code, detail, now);
  actions_.refuse.push_back(
      {what.connection, what.request_id, code, std::move(detail), retry_after, what.service});
}

void dispatcher::count_refused(service_index which, error_code code) {
  ++totals_.refused[static_cast<std::size_t>(code)];
  ++services_[which].counts.errors[static_cast<std::size_t>(code)];
}

// Tells the client, if there is one, that there will be no reply.
void dispatcher::announce(std::uint32_t index, error_code code, std::string detail, instant now,
                          std::string_view by) {
  const auto& r = requests_[index];
  if (r.connection == no_index) return;
  count_refused(r.service, code);
  keep_refused(index, code, detail, now, by);
  actions_.refuse.push_back({id_of(r.connection), r.client_id, code, std::move(detail), 0,
                             r.service, trace_of(r, index)});
}

void dispatcher::refuse(std::uint32_t index, error_code code, std::string detail, instant now,
                        std::string_view by) {
  announce(index, code, std::move(detail), now, by);
  if (requests_[index].stage == stage::placed) return abandon(index);
  stop_waiting(index);
  release(index);
}

void dispatcher::stop_waiting(std::uint32_t index) {
  auto& s = services_[requests_[index].service];
  if (requests_[index].stage == stage::behind_key)
    s.keys.remove(requests_, index);
  else
    s.queue.remove(requests_, index);
  --totals_.waiting;
}

// Nobody waits for it any more, but a node has it: its place there, and its key's turn, are free
// again only when the node says so.
void dispatcher::abandon(std::uint32_t index) {
  auto& r = requests_[index];
  if (!r.sent) { // nor does a node have it: it never leaves
    const auto service = r.service;
    unplace(index);
    release(index);
    return mark_runnable(service);
  }
  leave_connection(index);
  deadlines_.erase(index);
  r.payload = {};
  actions_.withdraw.push_back({offers_[r.offer].node, token_of(index), r.fence});
}

// What there is to say of a request that is late besides that it is; nothing, usually.
std::string dispatcher::why_late(const request& r, instant now) const {
  const auto& s = services_[r.service];
  if (s.unoffered) return no_node_for(s, now);
  if (r.stage == stage::placed) return {};
  if (offers_.is_paused(r.service))
    return "service " + s.name + " is paused by who runs the broker; it waited all that time";
  if (offers_.all_drained(r.service))
    return "who runs the broker drains every node that offers service " + s.name;
  return {};
}

void dispatcher::advance(instant now) {
  if (now >= grace_end_ && !asked_early_.empty()) end_startup_grace(now);
  if (!has_more_to_end()) submitted_then_ = totals_.submitted;
  end_expired(settings_.ends_per_turn, now);
  for (const auto which : std::exchange(paced_, {})) {
    services_[which].paced = false;
    mark_runnable(which);
  }
  std::erase_if(resting_, [&](std::uint32_t index) {
    const auto& o = offers_[index];
    if (o.in_use && o.resting && now < o.rest_until) return false;
    if (o.in_use && o.resting) {
      offers_.end_rest(index);
      mark_runnable(o.service);
    }
    return true;
  });
  run_ready(now);
}

node_view dispatcher::view(node_number which) const {
  node_view result;
  for (const auto index : offers_.of_node(which)) {
    result.in_flight += offers_[index].placed.size();
    result.answered += offers_[index].answered;
    result.failed += offers_[index].failed;
    result.drained = offers_[index].is_closed_by(closed_by::drain);
  }
  return result;
}

} // namespace ropewalk
