#include "actors/dispatch/dispatcher.hpp"

#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace ropewalk {

namespace {

// What a request costs the broker besides its payload, about: its record, its place in the wheel,
// the allocator's share.
constexpr std::uint32_t overhead_bytes = 256;

// Answers are counted in windows of this length to know how fast a service works its queue off.
constexpr milliseconds rate_window{100};

} // namespace

dispatcher::dispatcher(const dispatch_limits& limits, instant start, std::uint64_t seed)
    : limits_(limits), random_state_(seed * 0x9e3779b97f4a7c15 | 1), deadlines_(start) {}

// -- names, lists and memory
// ----------------------------------------------------------------------------------------------

token dispatcher::token_of(std::uint32_t index) const {
  return token{requests_[index].generation} << 32 | index;
}

std::uint32_t dispatcher::index_of(token request) const {
  const auto index = static_cast<std::uint32_t>(request);
  if (index >= requests_.size() || !requests_[index].in_use) return no_index;
  return requests_[index].generation == static_cast<std::uint32_t>(request >> 32) ? index
                                                                                  : no_index;
}

const request* dispatcher::find(token request) const {
  const auto index = index_of(request);
  return index == no_index ? nullptr : &requests_[index];
}

std::uint32_t dispatcher::placed_with(node_index node, token request, std::uint8_t attempt) const {
  const auto index = index_of(request);
  if (index == no_index) return no_index;
  const auto& r = requests_[index];
  if (r.offer == no_index || offers_[r.offer].node != node || r.attempt != attempt) return no_index;
  return index;
}

std::uint32_t dispatcher::allocate() {
  if (free_requests_.empty()) {
    free_requests_.push_back(static_cast<std::uint32_t>(requests_.size()));
    requests_.emplace_back();
  }
  const auto index = free_requests_.back();
  free_requests_.pop_back();
  auto& r = requests_[index];
  const auto generation = r.generation + 1;
  r = request{};
  r.generation = generation;
  r.in_use = true;
  return index;
}

void dispatcher::release(std::uint32_t index) {
  leave_connection(index);
  deadlines_.erase(index);
  auto& r = requests_[index];
  r.in_use = false;
  r.payload = {};
  free_requests_.push_back(index);
}

void dispatcher::push_back(list& to, std::uint32_t index) {
  auto& r = requests_[index];
  r.next = no_index;
  r.previous = to.tail;
  (to.tail == no_index ? to.head : requests_[to.tail].next) = index;
  to.tail = index;
  ++to.size;
}

void dispatcher::push_front(list& to, std::uint32_t index) {
  auto& r = requests_[index];
  r.previous = no_index;
  r.next = to.head;
  (to.head == no_index ? to.tail : requests_[to.head].previous) = index;
  to.head = index;
  ++to.size;
}

void dispatcher::unlink(list& from, std::uint32_t index) {
  const auto& r = requests_[index];
  (r.previous == no_index ? from.head : requests_[r.previous].next) = r.next;
  (r.next == no_index ? from.tail : requests_[r.next].previous) = r.previous;
  --from.size;
}

// -- clients
// -------------------------------------------------------------------------------------------------------------

connection_index dispatcher::connect() {
  if (free_connections_.empty()) {
    free_connections_.push_back(static_cast<connection_index>(connections_.size()));
    connections_.emplace_back();
  }
  const auto result = free_connections_.back();
  free_connections_.pop_back();
  connections_[result] = connection{};
  connections_[result].in_use = true;
  return result;
}

void dispatcher::disconnect(connection_index who) {
  assert(connections_[who].in_use);
  while (connections_[who].first != no_index) {
    const auto index = connections_[who].first;
    if (requests_[index].offer == no_index) {
      unlink(services_[requests_[index].service].queue, index);
      --totals_.waiting;
      release(index);
    } else {
      abandon(index);
    }
  }
  connections_[who].in_use = false;
  free_connections_.push_back(who);
}

// Takes the request out of its connection's list and of what is counted as held.
void dispatcher::leave_connection(std::uint32_t index) {
  auto& r = requests_[index];
  if (r.connection == no_index) return;
  auto& c = connections_[r.connection];
  (r.previous_of_connection == no_index ? c.first
                                        : requests_[r.previous_of_connection].next_of_connection) =
      r.next_of_connection;
  if (r.next_of_connection != no_index)
    requests_[r.next_of_connection].previous_of_connection = r.previous_of_connection;
  c.bytes -= r.cost;
  --c.requests;
  totals_.held_bytes -= r.cost;
  if (c.paused && c.bytes <= limits_.connection_bytes / 2 &&
      c.requests <= limits_.connection_requests / 2) {
    c.paused = false;
    actions_.reading.push_back(r.connection);
  }
  r.connection = no_index;
}

std::optional<service_index> dispatcher::find_service(std::string_view name) const {
  const auto found = service_by_name_.find(name);
  if (found == service_by_name_.end()) return std::nullopt;
  return found->second;
}

void dispatcher::submit(submission what, instant now) {
  assert(!what.payload.borrowed());
  ++totals_.submitted;
  auto& s = services_[what.service];
  const auto cost = static_cast<std::uint32_t>(what.payload.size()) + overhead_bytes;
  if (s.queue.size >= limits_.queued)
    return refuse(what, error_code::busy, "this service's queue is full", retry_after_ms(s));
  if (totals_.held_bytes + cost > limits_.held_bytes)
    return refuse(what, error_code::busy, "the broker's memory for requests is used up",
                  retry_after_ms(s));
  if (all_failing(s))
    return refuse(what, error_code::worker_lost,
                  "service " + s.name + " is failing: its workers keep crashing");
  const auto timeout = what.timeout.value_or(limits_.timeout);
  if (timeout <= milliseconds{0}) return refuse(what, error_code::timeout, {});

  const auto index = allocate();
  auto& r = requests_[index];
  r.payload = std::move(what.payload);
  r.client_id = what.request_id;
  r.service = what.service;
  r.connection = what.connection;
  r.attempts = std::max<std::uint8_t>(1, what.attempts.value_or(limits_.attempts));
  r.cost = cost;
  r.deadline = now + timeout;
  deadlines_.insert(index, r.deadline);

  auto& c = connections_[what.connection];
  r.next_of_connection = c.first;
  if (c.first != no_index) requests_[c.first].previous_of_connection = index;
  c.first = index;
  c.bytes += cost;
  ++c.requests;
  totals_.held_bytes += cost;
  if (!c.paused &&
      (c.bytes > limits_.connection_bytes || c.requests >= limits_.connection_requests)) {
    c.paused = true;
    actions_.reading.push_back(what.connection);
  }

  push_back(s.queue, index);
  ++totals_.waiting;
  pump(what.service, now);
}

void dispatcher::cancel(connection_index who, std::uint64_t request_id, instant now) {
  for (auto index = connections_[who].first; index != no_index;
       index = requests_[index].next_of_connection) {
    if (requests_[index].client_id != request_id) continue;
    const auto service = requests_[index].service;
    refuse(index, error_code::cancelled);
    pump(service, now);
    return;
  }
}

// -- which node
// ----------------------------------------------------------------------------------------------------------

std::uint32_t dispatcher::random() { // xorshift64*: two choices need no more
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return static_cast<std::uint32_t>(random_state_ * 0x2545f4914f6cdd1d >> 32);
}

// Power of two choices: nearly as good as asking all of them, at a cost that does not grow with
// their number.
std::uint32_t dispatcher::better_of_two(const std::vector<std::uint32_t>& candidates) {
  auto spare = [this](std::uint32_t index) {
    const auto& o = offers_[index];
    return static_cast<std::int64_t>(o.in == room::idle ? o.slots : o.credit.allowed()) -
           o.placed.size;
  };
  const auto count = static_cast<std::uint32_t>(candidates.size());
  if (count == 1) return candidates[0];
  const auto i = random() % count;
  auto j = random() % (count - 1);
  if (j >= i) ++j;
  return spare(candidates[i]) >= spare(candidates[j]) ? candidates[i] : candidates[j];
}

std::uint32_t dispatcher::choose(const service& s) {
  if (!s.idle.empty()) return better_of_two(s.idle);
  if (!s.spare.empty()) return better_of_two(s.spare);
  return no_index;
}

void dispatcher::reconsider(std::uint32_t index) {
  const auto& o = offers_[index];
  const bool takes_work = o.in_use && !o.failing && !nodes_[o.node].retired;
  const bool has_credit = o.placed.size < o.credit.allowed() && o.bytes < limits_.node_bytes;
  auto to = room::none;
  if (takes_work && o.placed.size < o.slots)
    to = room::idle;
  else if (takes_work && has_credit)
    to = room::spare;
  set_room(index, to);
}

void dispatcher::set_room(std::uint32_t index, room to) {
  auto& o = offers_[index];
  if (o.in == to) return;
  auto& s = services_[o.service];
  auto members = [&s](room r) -> std::vector<std::uint32_t>& {
    return r == room::idle ? s.idle : s.spare;
  };
  if (o.in != room::none) {
    auto& from = members(o.in);
    from[o.position] = from.back();
    offers_[from[o.position]].position = o.position;
    from.pop_back();
  }
  o.in = to;
  if (to != room::none) {
    o.position = static_cast<std::uint32_t>(members(to).size());
    members(to).push_back(index);
  }
}

void dispatcher::pump(service_index which, instant now) {
  auto& s = services_[which];
  while (s.queue.size > 0) {
    const auto to = choose(s);
    if (to == no_index) return;
    const auto index = s.queue.head;
    unlink(s.queue, index);
    --totals_.waiting;
    place(index, to, now);
  }
}

void dispatcher::place(std::uint32_t index, std::uint32_t to, instant now) {
  auto& r = requests_[index];
  auto& o = offers_[to];
  if (r.attempt > 0) ++totals_.redispatched;
  r.attempt = r.attempt == 255 ? 1 : static_cast<std::uint8_t>(r.attempt + 1);
  r.offer = to;
  r.placed_at = now;
  push_back(o.placed, index);
  o.bytes += r.cost;
  ++totals_.placed;
  reconsider(to);
  actions_.place.push_back({o.node, token_of(index)});
}

void dispatcher::unplace(std::uint32_t index) {
  auto& r = requests_[index];
  auto& o = offers_[r.offer];
  unlink(o.placed, index);
  o.bytes -= r.cost;
  --totals_.placed;
  reconsider(std::exchange(r.offer, no_index));
}

// -- nodes
// ---------------------------------------------------------------------------------------------------------------

service_index dispatcher::service_named(const std::string& name) {
  const auto [at, fresh] =
      service_by_name_.try_emplace(name, static_cast<service_index>(services_.size()));
  if (fresh) services_.emplace_back().name = name;
  return at->second;
}

node_index dispatcher::join(const std::vector<service_offer>& what, instant now) {
  const auto joined = static_cast<node_index>(nodes_.size());
  nodes_.emplace_back().in_use = true;
  for (const auto& brought : what) {
    const auto which = service_named(brought.name);
    if (free_offers_.empty()) {
      free_offers_.push_back(static_cast<std::uint32_t>(offers_.size()));
      offers_.emplace_back();
    }
    const auto index = free_offers_.back();
    free_offers_.pop_back();
    auto& o = offers_[index];
    o = offer{};
    o.node = joined;
    o.service = which;
    o.index = static_cast<std::uint16_t>(nodes_[joined].offers.size());
    o.slots = brought.slots;
    o.credit = ropewalk::credit{brought.slots, limits_.node_prefetch, limits_.node_prefetch_time};
    o.in_use = true;
    nodes_[joined].offers.push_back(index);
    services_[which].offers.push_back(index);
    reconsider(index);
  }
  for (const auto index : nodes_[joined].offers) pump(offers_[index].service, now);
  return joined;
}

void dispatcher::lose(node_index lost, std::string_view what, instant now) {
  auto& n = nodes_[lost];
  if (!n.in_use) return;
  n.in_use = false;
  n.retired = true;
  for (const auto index : n.offers) set_room(index, room::none); // nothing goes back there
  for (const auto index : n.offers) {
    auto& o = offers_[index];
    // A gateway starts a service's messages in the order in which they came: the first `slots` were
    // running.
    std::vector<std::uint32_t> had;
    for (auto i = o.placed.head; i != no_index; i = requests_[i].next) had.push_back(i);
    for (auto i = had.size(); i-- > 0;) { // backwards, as each goes to the front of the queue
      const bool may_have_run = i < o.slots || requests_[had[i]].attempts == 1;
      retry(had[i], may_have_run, what, now);
    }
    assert(o.placed.size == 0);
    o.in_use = false;
    std::erase(services_[o.service].offers, index);
    free_offers_.push_back(index);
  }
  const auto offers = std::exchange(n.offers, {});
  for (const auto index : offers) {
    check_all_failing(offers_[index].service, now);
    pump(offers_[index].service, now);
  }
}

void dispatcher::retire(node_index which) {
  nodes_[which].retired = true;
  for (const auto index : nodes_[which].offers) reconsider(index);
}

bool dispatcher::all_failing(const service& s) const {
  return !s.offers.empty() && std::all_of(s.offers.begin(), s.offers.end(),
                                          [this](auto index) { return offers_[index].failing; });
}

void dispatcher::check_all_failing(service_index which, instant) {
  if (!all_failing(services_[which])) return;
  while (services_[which].queue.size > 0)
    refuse(services_[which].queue.head, error_code::worker_lost,
           "service " + services_[which].name + " is failing: its workers keep crashing");
}

void dispatcher::set_failing(node_index which, std::uint32_t offer, bool failing, instant now) {
  auto& n = nodes_[which];
  if (!n.in_use || offer >= n.offers.size()) return;
  const auto index = n.offers[offer];
  offers_[index].failing = failing;
  reconsider(index);
  check_all_failing(offers_[index].service, now);
  pump(offers_[index].service, now);
}

void dispatcher::count_answer(service& s, instant now) {
  ++s.answers;
  if (now - s.window < rate_window) return;
  const auto seconds = std::chrono::duration<double>(now - s.window).count();
  s.answers_per_second = s.answers / seconds;
  s.answers = 0;
  s.window = now;
}

std::optional<completion> dispatcher::complete(node_index from, token which, std::uint8_t attempt,
                                               microseconds run_time, instant now) {
  const auto index = placed_with(from, which, attempt);
  if (index == no_index) {
    ++totals_.stale;
    return std::nullopt;
  }
  const auto& r = requests_[index];
  const auto service = r.service;
  const completion result{r.connection, r.client_id};
  offers_[r.offer].credit.ran_for(run_time);
  ++nodes_[from].answered;
  if (r.connection != no_index) ++totals_.answered;
  count_answer(services_[service], now);
  unplace(index);
  release(index);
  pump(service, now);
  return result;
}

void dispatcher::give_back(node_index from, token which, std::uint8_t attempt, instant now) {
  const auto index = placed_with(from, which, attempt);
  if (index == no_index) return;
  const auto service = requests_[index].service;
  offers_[requests_[index].offer].credit.stalled();
  retry(index, false, {}, now);
  pump(service, now);
}

void dispatcher::crash(node_index from, token which, std::uint8_t attempt, std::string_view what,
                       instant now) {
  const auto index = placed_with(from, which, attempt);
  if (index == no_index) return;
  const auto service = requests_[index].service;
  retry(index, true, what, now);
  pump(service, now);
}

// A placed request comes back without an answer: to the front of the queue it goes, unless its last
// attempt is spent.
void dispatcher::retry(std::uint32_t index, bool charge, std::string_view what, instant now) {
  unplace(index);
  auto& r = requests_[index];
  if (r.connection == no_index) return release(index);
  if (charge && ++r.charged >= r.attempts) {
    push_front(services_[r.service].queue, index); // refuse() takes it from there
    ++totals_.waiting;
    return refuse(index, error_code::worker_lost,
                  "its worker was lost " + std::to_string(r.charged) +
                      (r.charged == 1 ? " time" : " times") +
                      " while running it; the last time: " + std::string{what});
  }
  push_front(services_[r.service].queue, index);
  ++totals_.waiting;
  if (all_failing(services_[r.service])) check_all_failing(r.service, now);
}

// -- answers that are not replies
// -----------------------------------------------------------------------------------------

std::uint32_t dispatcher::retry_after_ms(const service& s) const {
  // A tenth of what waits is to be worked off first: then there is room for whoever comes back.
  const auto rate = std::max(1.0, s.answers_per_second);
  return static_cast<std::uint32_t>(std::clamp(s.queue.size / 10.0 / rate * 1000, 20.0, 10'000.0));
}

void dispatcher::refuse(const submission& what, error_code code, std::string detail,
                        std::uint32_t retry_after) {
  ++totals_.refused[static_cast<int>(code)];
  actions_.refuse.push_back(
      {what.connection, what.request_id, code, std::move(detail), retry_after});
}

void dispatcher::refuse(std::uint32_t index, error_code code, std::string detail) {
  auto& r = requests_[index];
  if (r.connection != no_index) {
    ++totals_.refused[static_cast<int>(code)];
    actions_.refuse.push_back({r.connection, r.client_id, code, std::move(detail), 0});
  }
  if (r.offer != no_index) return abandon(index);
  unlink(services_[r.service].queue, index);
  --totals_.waiting;
  release(index);
}

// Nobody waits for it any more, but a node has it: its place there is free again only when the node
// says so.
void dispatcher::abandon(std::uint32_t index) {
  auto& r = requests_[index];
  leave_connection(index);
  deadlines_.erase(index);
  r.payload = {};
  actions_.withdraw.push_back({offers_[r.offer].node, token_of(index), r.attempt});
}

void dispatcher::advance(instant now) {
  expired_.clear();
  deadlines_.advance(now, expired_);
  for (const auto index : expired_) refuse(index, error_code::timeout);
}

node_view dispatcher::view(node_index which) const {
  node_view result;
  result.answered = nodes_[which].answered;
  for (const auto index : nodes_[which].offers) result.in_flight += offers_[index].placed.size;
  return result;
}

// -- what must hold
// --------------------------------------------------------------------------------------------------------

namespace {

void must(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "dispatcher: does not hold: %s\n", what);
  std::abort();
}

} // namespace

void dispatcher::check() const {
  std::size_t listed = 0;
  std::uint64_t held = 0;
  std::uint32_t waiting = 0;
  std::uint32_t placed = 0;
  auto walk = [&](const list& l, auto&& each) {
    std::uint32_t count = 0;
    auto before = no_index;
    for (auto i = l.head; i != no_index; before = i, i = requests_[i].next, ++count) {
      must(requests_[i].in_use, "a listed request is in use");
      must(requests_[i].previous == before, "links go both ways");
      each(requests_[i]);
    }
    must(count == l.size && before == l.tail, "a list's count is its length");
    listed += count;
  };
  for (const auto& s : services_) {
    walk(s.queue, [&](const request& r) {
      must(r.offer == no_index, "a waiting request is with no node");
      must(r.connection != no_index, "somebody waits for a waiting request");
    });
    waiting += s.queue.size;
    must(s.queue.size == 0 || (s.idle.empty() && s.spare.empty()),
         "nothing waits while an offer has room");
  }
  for (std::uint32_t i = 0; i < offers_.size(); ++i) {
    const auto& o = offers_[i];
    if (!o.in_use) continue;
    std::uint64_t bytes = 0;
    walk(o.placed, [&](const request& r) {
      must(r.offer == i, "a placed request knows its offer");
      bytes += r.cost;
    });
    placed += o.placed.size;
    must(bytes == o.bytes, "an offer's bytes are those of its requests");
    const auto most = std::max(o.slots, o.slots * (1 + limits_.node_prefetch));
    must(o.placed.size <= most, "no node has more than the most credit");
  }
  for (std::uint32_t i = 0; i < connections_.size(); ++i) {
    std::uint32_t requests = 0;
    std::uint64_t bytes = 0;
    for (auto r = connections_[i].first; r != no_index;
         r = requests_[r].next_of_connection, ++requests) {
      must(requests_[r].connection == i, "a connection's request knows it");
      bytes += requests_[r].cost;
    }
    must(requests == connections_[i].requests && bytes == connections_[i].bytes,
         "a connection's counts are those of its requests");
    held += bytes;
  }
  must(held == totals_.held_bytes, "held bytes are those of the connections");
  must(waiting == totals_.waiting && placed == totals_.placed, "the totals are those of the lists");
  must(listed + free_requests_.size() == requests_.size(), "every request is in one list or free");
}

} // namespace ropewalk
