#include "tests/sim/world.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <utility>

namespace ropewalk::sim {

using namespace std::chrono_literals;

namespace {

// Begins with the number of its request and 1, so that it is seen whose it is.
shared_bytes payload_of(std::uint32_t id, std::size_t bytes) {
  std::string text(std::max(bytes, sizeof id), 'x');
  const auto mark = id + 1;
  std::memcpy(text.data(), &mark, sizeof mark);
  return shared_bytes::copy_of(text);
}

std::uint32_t mark_in(const shared_bytes& payload) {
  std::uint32_t mark = 0;
  if (payload.size() >= sizeof mark) std::memcpy(&mark, payload.view().data(), sizeof mark);
  return mark;
}

const char* service_name(std::uint32_t service) {
  return service == 0 ? "a" : "b";
}

// As the broker and its gateways have them.
constexpr milliseconds tick_interval{20};
constexpr milliseconds look_interval{2};
constexpr milliseconds stall_timeout{5};
constexpr milliseconds connection_timeout{3000};
constexpr milliseconds long_run{4};
constexpr std::uint32_t max_nodes = 8;

dispatch_settings plan_limits(random_source& random) {
  dispatch_settings result;
  if (random.one_in(4)) result.queue = random.between(1, 30);
  if (random.one_in(4)) result.memory = 1000 * random.between(5, 100);
  if (random.one_in(4)) result.service_memory = 1000 * random.between(5, 100);
  if (random.one_in(4)) result.connection_memory = 1000 * random.between(5, 50);
  if (random.one_in(4)) result.connection_requests = random.between(1, 20);
  if (random.one_in(4)) result.node_bytes = 1000 * random.between(1, 20);
  if (random.one_in(3)) result.node_prefetch = random.between(0, 20);
  if (random.one_in(4)) result.retry_share = random.between(0, 100);
  if (random.one_in(3)) result.ends_per_turn = random.between(1, 10);
  return result;
}

} // namespace

world::world(std::uint64_t seed, bool trace)
    : random_(seed), trace_(trace), settings_(plan_limits(random_)),
      dispatcher_(settings_, now_, seed) {
  plan_world();
}

void world::note(const char* format, ...) {
  if (!trace_) return;
  std::printf("%10.3f ms  ", std::chrono::duration<double, std::milli>(now_ - instant{}).count());
  va_list arguments;
  va_start(arguments, format);
  std::vprintf(format, arguments);
  va_end(arguments);
  std::printf("\n");
}

void world::plan_world() {
  services_ = random_.between(1, 2);
  keys_ = random_.one_in(2) ? random_.between(1, 4) : 0;
  latency_us_ = random_.one_in(4) ? 5000 : 50;
  run_us_ = random_.exponential(random_.one_in(3) ? 50 : 3000) + 1;
  chaos_us_ = random_.one_in(5) ? 1e9 : 20'000 + random_.exponential(300'000);
  poison_ = random_.one_in(2) ? random_.between(3, 100) : 0;
  others_us_ = random_.one_in(3) ? 2000 + random_.exponential(50'000) : 0;
  budget_ = random_.between(50, 600);
  end_ = now_ + std::chrono::seconds{random_.between(2, 20)};
  nodes_.resize(random_.between(1, 6));
  for (std::uint32_t i = 0; i < nodes_.size(); ++i)
    after(milliseconds{i < 2 ? 0 : random_.below(500)}, {.kind = what::start, .who = i});
  clients_.resize(random_.between(1, 5));
  const double think_us =
      run_us_ * (0.1 + random_.unit() * 2) * static_cast<double>(clients_.size());
  for (std::uint32_t i = 0; i < clients_.size(); ++i) {
    clients_[i].connection = dispatcher_.connect();
    clients_[i].think_us = think_us;
    clients_[i].burst = random_.one_in(3) ? random_.between(1, 50) : 1;
    after(microseconds{1000 + random_.below(1000)}, {.kind = what::submit, .who = i});
  }
  after(milliseconds{5}, {.kind = what::chaos});
}

std::uint64_t world::run() {
  std::uint64_t steps = 0;
  constexpr std::uint64_t enough = 1'000'000; // a world that never ends is a fault, too
  while (!events_.empty()) {
    now_ = events_.next_time();
    step(events_.take());
    dispatcher_.check();
    must(++steps < enough, "things come to an end");
  }
  oracle_.at_the_end(dispatcher_);
  for (const auto& c : clients_)
    must(!dispatcher_.paused(c.connection), "who is paused is read from again");
  return steps;
}

bool world::is_for_node(what kind) const {
  return kind == what::work || kind == what::withdraw || kind == what::retired ||
         kind == what::leased || kind == what::dropped || kind == what::beat ||
         kind == what::others || kind == what::others_go || kind == what::others_on ||
         kind == what::look || kind == what::slot_done || kind == what::slot_up ||
         kind == what::pool_up || kind == what::succeed;
}

void world::step(const event& e) {
  switch (e.kind) {
  case what::submit:
    return submit(clients_[e.who]);
  case what::cancel:
    if (!oracle_.requests[e.id].connection.valid() || oracle_.requests[e.id].answered) return;
    oracle_.requests[e.id].cancelled = true;
    note("client %u takes back %u", e.who, e.id);
    dispatcher_.cancel(clients_[e.who].connection, e.id, now_);
    return carry_out();
  case what::leave:
    return leave(clients_[e.who]);
  case what::start:
    return start(e.who);
  case what::chaos:
    return chaos();
  case what::tick:
    tick_expected_ = false;
    dispatcher_.advance(now_);
    if (!random_.one_in(3)) return carry_out();
    leave_untold();
    return after(milliseconds{2}, {.kind = what::turn}); // something may happen before it is
  case what::more_ends:
    more_ends_expected_ = false;
    dispatcher_.end_more(now_);
    return carry_out();
  case what::turn:
    turn_open_ = false;
    end_turn();
    return carry_out();
  case what::calm: {
    auto& n = nodes_[e.who];
    if (n.epoch != e.epoch || n.trouble != e.run) return;
    note("node %u goes on", e.who);
    if (n.cut) n.healed = now_;
    n.frozen = n.cut = false;
    for (auto& [at, held] : std::exchange(n.held, {})) events_.add(now_, std::move(held));
    return;
  }
  case what::undrain:
    note("node number %u is let work again", e.number);
    oracle_.drained(e.number, false);
    dispatcher_.set_drained(e.number, false, now_);
    return carry_out();
  case what::resume:
    note("service %u goes on", e.service);
    oracle_.paused(e.service, false);
    dispatcher_.set_paused(e.service, false, now_);
    return carry_out();
  case what::suspect: {
    const auto& n = nodes_[e.who];
    if (n.epoch == e.epoch && n.trouble == e.run && (n.frozen || n.cut))
      lose(e.who, e.number, "silent");
    return;
  }
  default:
    break;
  }
  if (!is_for_node(e.kind)) return broker_step(e);
  auto& n = nodes_[e.who];
  if (!n.alive || n.epoch != e.epoch) return;
  const bool from_outside = e.kind == what::work || e.kind == what::withdraw ||
                            e.kind == what::retired || e.kind == what::leased;
  if (n.frozen || (n.cut && from_outside)) {
    n.held.emplace_back(now_, e);
    return;
  }
  node_step(n, e);
}

// -- clients --------------------------------------------------------------------------------------

void world::submit(client& from) {
  const auto who = static_cast<std::uint32_t>(&from - clients_.data());
  if (now_ >= end_ || budget_ == 0) return;
  from.waits = dispatcher_.paused(from.connection);
  if (from.waits) return; // carry_out wakes it
  const auto service = dispatcher_.find_service(service_name(random_.below(services_)));
  for (auto i = random_.between(1, from.burst); i > 0 && service && budget_ > 0; --i) {
    --budget_;
    const auto id = static_cast<std::uint32_t>(oracle_.requests.size());
    submission s;
    s.connection = from.connection;
    s.request_id = id;
    s.service = *service;
    s.payload = payload_of(id, random_.one_in(4) ? random_.below(8000) : 16);
    if (random_.one_in(3)) s.timeout = milliseconds{random_.between(1, 2000)};
    if (random_.one_in(3)) s.attempts = static_cast<std::uint8_t>(random_.between(1, 5));
    s.priority = static_cast<priority>(random_.below(priorities));
    const auto key = keys_ > 0 && random_.one_in(2) ? 1 + random_.below(keys_) : 0;
    const char letter = static_cast<char>('a' + key);
    if (key > 0) s.key = {&letter, 1};
    asked a;
    a.connection = from.connection;
    a.client = who;
    a.service = *service;
    a.key = key;
    a.deadline = now_ + s.timeout.value_or(settings_.timeout);
    a.attempts = std::min(s.attempts.value_or(settings_.attempts), settings_.attempts);
    oracle_.requests.push_back(a);
    plan p;
    p.run_us = 1 + static_cast<std::uint32_t>(random_.heavy_tailed(run_us_ / 2.9));
    if (poison_ > 0 && random_.one_in(poison_))
      p.f = random_.one_in(3)   ? fate::hangs
            : random_.one_in(4) ? fate::kills_node
                                : fate::crashes_slot;
    plans_.push_back(p);
    note("client %u asks %u (service %u, key %u, attempts %u)", who, id, *service, key, a.attempts);
    dispatcher_.submit(s, now_);
    carry_out(true);
    if (random_.one_in(20))
      after(microseconds{random_.one_in(4) ? 0 : random_.below(20'000)},
            {.kind = what::cancel, .who = who, .id = id});
    if (random_.one_in(50)) use_id_again(from);
    if (dispatcher_.paused(from.connection)) break;
  }
  after(microseconds{1 + static_cast<std::int64_t>(random_.exponential(from.think_us))},
        {.kind = what::submit, .who = who});
}

// What was decided is told a little later: some have gone by then.
void world::leave_untold() {
  for (const auto& r : dispatcher_.pending().refuse) {
    oracle_.requests[static_cast<std::uint32_t>(r.request_id)].decided = true;
    for (std::uint32_t i = 0; i < clients_.size(); ++i)
      if (clients_[i].connection == r.connection && random_.one_in(10))
        after(milliseconds{1}, {.kind = what::leave, .who = i});
  }
}

void world::use_id_again(client& from) {
  auto& last = oracle_.requests.back();
  if (last.answered) return;
  ++last.duplicates;
  submission s;
  s.connection = from.connection;
  s.request_id = oracle_.requests.size() - 1;
  s.service = last.service;
  s.payload = payload_of(static_cast<std::uint32_t>(s.request_id), 16);
  dispatcher_.submit(s, now_);
  carry_out(true);
}

void world::leave(client& who) {
  note("client %u leaves", static_cast<std::uint32_t>(&who - clients_.data()));
  for (auto& r : oracle_.requests)
    if (r.connection == who.connection) r.connection = {};
  dispatcher_.disconnect(std::exchange(who.connection, {}), now_);
  if (random_.one_in(2)) carry_out(); // else the next one has its index before that is done
  who.connection = dispatcher_.connect();
  carry_out();
  if (std::exchange(who.waits, false))
    after(1ms, {.kind = what::submit, .who = static_cast<std::uint32_t>(&who - clients_.data())});
}

// -- nodes ----------------------------------------------------------------------------------------

void world::start(std::uint32_t which) {
  auto& n = nodes_[which];
  if (n.alive) return;
  const auto epoch = n.epoch + 1;
  n = node{};
  n.epoch = epoch;
  n.alive = true;
  n.to_node = n.to_broker = now_;
  std::vector<service_offer> offers;
  for (std::uint32_t i = 0; i < services_; ++i) {
    pool p;
    p.slots.resize(random_.between(1, 4));
    p.per_process = random_.one_in(2) ? 1 : static_cast<std::uint16_t>(random_.between(2, 4));
    p.policy = restart_policy{{}, random_.next()};
    p.last_end = now_;
    offers.push_back({service_name(i), static_cast<std::uint32_t>(p.slots.size())});
    n.pools.push_back(std::move(p));
  }
  n.number = static_cast<node_number>(node_of_number_.size());
  node_of_number_.push_back(which);
  note("node %u joins as number %u", which, n.number);
  oracle_.joined(n.number);
  n.lease = std::make_unique<start_lease>();
  n.lease->attach(0, now_);
  beat(which);
  if (others_us_ > 0)
    after(microseconds{1 + static_cast<std::int64_t>(random_.exponential(others_us_))},
          {.kind = what::others, .who = which, .epoch = epoch});
  const auto number = dispatcher_.join(offers, now_);
  must(number == n.number, "nodes are numbered in the order in which they join");
  carry_out();
}

// Its process is gone, and everything in it.
void world::die(std::uint32_t which) {
  auto& n = nodes_[which];
  if (!n.alive) return;
  note("node %u dies", which);
  n.alive = false;
  after(network(), {.kind = what::lost, .who = which, .number = n.number});
  after(milliseconds{10 + random_.below(1000)}, {.kind = what::start, .who = which});
}

void world::drain(std::uint32_t which) {
  auto& n = nodes_[which];
  if (!n.alive || n.draining || n.frozen) return;
  note("node %u drains", which);
  n.draining = true;
  for (auto& p : n.pools)
    for (const auto& item : std::exchange(p.waiting, {})) give_back(which, item);
  to_broker(which, {.kind = what::retire});
}

// Its services are read anew: a node with the new ones joins beside it, and then it drains.
void world::reload(std::uint32_t which) {
  if (const auto& n = nodes_[which]; !n.alive || n.draining || n.frozen || n.cut) return;
  auto next = static_cast<std::uint32_t>(
      std::find_if(nodes_.begin(), nodes_.end(), [](const node& n) { return !n.alive; }) -
      nodes_.begin());
  if (next == max_nodes) return;
  if (next == nodes_.size()) nodes_.emplace_back();
  note("node %u is reloaded", which);
  start(next);
  after(microseconds{random_.below(50'000)},
        {.kind = what::succeed, .who = which, .epoch = nodes_[which].epoch});
}

void world::drain_further(std::uint32_t which) {
  auto& n = nodes_[which];
  if (!n.retired || n.said_goodbye) return;
  for (const auto& p : n.pools) {
    if (!p.waiting.empty()) return;
    for (const auto& s : p.slots)
      if (s.busy) return;
  }
  n.said_goodbye = true;
  to_broker(which, {.kind = what::goodbye});
}

void world::node_step(node& n, const event& e) {
  const auto which = e.who;
  switch (e.kind) {
  case what::work: {
    oracle_.arrived(e.id, n.number, e.fence);
    note("%u reaches node %u", e.id, which);
    if (!n.beats) beat(which);
    if (n.draining) return give_back(which, e);
    auto& p = n.pools[e.service];
    p.waiting.push_back(e);
    begin_work(which, e.service);
    if (!p.waiting.empty() && !std::exchange(p.looking, true))
      after(look_interval,
            {.kind = what::look, .who = which, .epoch = n.epoch, .service = e.service});
    return;
  }
  case what::withdraw:
    return withdraw(which, e);
  case what::retired:
    n.retired = true;
    return drain_further(which);
  case what::leased:
    n.lease->confirmed(0, e.asked);
    return begin_all(which);
  case what::dropped:
    return dropped(which);
  case what::beat:
    n.beats = false;
    return beat(which);
  case what::others:
  case what::others_on:
  case what::others_go:
    return others(which, e);
  case what::look:
    return look(which, e.service);
  case what::slot_done:
    return slot_done(which, e);
  case what::slot_up: {
    auto& p = n.pools[e.service];
    if (p.failing || p.slots[e.slot].up) return;
    p.slots[e.slot].up = true;
    to_broker(which, {.kind = what::slots, .service = e.service});
    return begin_work(which, e.service);
  }
  case what::pool_up: {
    auto& p = n.pools[e.service];
    p.failing = false;
    for (auto& s : p.slots) s.up = true;
    to_broker(which, {.kind = what::slots, .service = e.service});
    to_broker(which, {.kind = what::failing, .service = e.service, .flag = false});
    return begin_work(which, e.service);
  }
  case what::succeed:
    return drain(which);
  default:
    throw violation{"no such event for a node"};
  }
}

// What is to run alone has its process for itself.
bool world::may_start(const pool& p, std::uint16_t slot, const event& item) {
  const auto first = static_cast<std::uint16_t>(slot / p.per_process * p.per_process);
  for (auto i = first; i < p.slots.size() && i < first + p.per_process; ++i)
    if (p.slots[i].busy && (item.alone || p.slots[i].what.alone)) return false;
  return true;
}

void world::begin_work(std::uint32_t which, std::uint16_t service) {
  auto& n = nodes_[which];
  auto& p = n.pools[service];
  for (std::uint16_t i = 0; i < p.slots.size() && !p.waiting.empty(); ++i) {
    auto& s = p.slots[i];
    if (!s.up || s.busy || s.taken) continue;
    if (!n.lease->allows(now_)) return; // `leased` looks again
    const auto first = std::find_if(p.waiting.begin(), p.waiting.end(),
                                    [&](const event& w) { return may_start(p, i, w); });
    if (first == p.waiting.end()) continue;
    auto item = *first;
    p.waiting.erase(first);
    item.kind = what::slot_done;
    item.slot = i;
    item.run = ++s.run;
    item.end = item_end::answered;
    item.flag = false;
    auto runs = microseconds{plans_[item.id].run_us};
    if (now_ >= item.deadline) {
      runs = microseconds{0}; // an expired message is not started
    } else {
      oracle_.started(item.id, n.number, item.fence, item.attempt, item.bytes_of,
                      n.cut || now_ - n.healed < oracle::news_on_the_way, now_);
      const auto f = plans_[item.id].f;
      note("node %u starts %u (attempt %u)", which, item.id, item.attempt);
      item.flag = f == fate::kills_node;
      if (f == fate::crashes_slot) item.end = item_end::crashed;
      if (f == fate::hangs) { // killed when it has overrun its deadline for so long
        runs = std::chrono::ceil<microseconds>(item.deadline - now_) + 2000ms;
        item.end = item_end::crashed;
      }
    }
    item.run_us = static_cast<std::uint32_t>(runs.count());
    s.busy = true;
    s.what = item;
    after(runs, item);
  }
}

void world::slot_done(std::uint32_t which, const event& e) {
  auto& n = nodes_[which];
  auto& p = n.pools[e.service];
  auto& s = p.slots[e.slot];
  if (!s.busy || s.run != e.run) return; // it was stopped before
  if (e.flag) return die(which);
  p.last_end = now_;
  note("node %u: slot %u of service %u %s %u", which, e.slot, e.service,
       e.end == item_end::crashed ? "dies of" : "is done with", e.id);
  if (e.end == item_end::crashed) {
    process_died(which, e);
    const auto pause = p.policy.on_exit(now_);
    if (pause) {
      after(*pause, {.kind = what::slot_up,
                     .who = which,
                     .epoch = n.epoch,
                     .service = e.service,
                     .slot = e.slot});
    } else if (!std::exchange(p.failing, true)) {
      note("node %u: service %u is failing", which, e.service);
      for (const auto& item : std::exchange(p.waiting, {})) give_back(which, item);
      to_broker(which, {.kind = what::failing, .service = e.service, .flag = true});
      if (random_.one_in(2)) return die(which); // the node gives up
      after(1s, {.kind = what::pool_up, .who = which, .epoch = n.epoch, .service = e.service});
    }
  } else {
    s.busy = false;
    oracle_.ended(e.id, n.number);
    auto answer = e;
    answer.kind = what::answer;
    to_broker(which, answer);
  }
  begin_work(which, e.service);
  drain_further(which);
}

// Its slots are gone until it is started again; each tells of what it was running. A process that
// was ended because one hung is known to have died of that.
void world::process_died(std::uint32_t which, const event& of) {
  auto& n = nodes_[which];
  auto& p = n.pools[of.service];
  const bool hung = plans_[of.id].f == fate::hangs;
  const auto first = static_cast<std::uint16_t>(of.slot / p.per_process * p.per_process);
  const auto end = std::min<std::size_t>(p.slots.size(), first + p.per_process);
  const auto running =
      std::count_if(p.slots.begin() + first, p.slots.begin() + static_cast<std::ptrdiff_t>(end),
                    [](const slot& s) { return s.busy; });
  for (auto i = first; i < end; ++i) p.slots[i].up = false;
  to_broker(which, {.kind = what::slots, .service = of.service});
  for (auto i = first; i < end; ++i) {
    auto& s = p.slots[i];
    if (!std::exchange(s.busy, false)) continue;
    ++s.run;
    oracle_.ended(s.what.id, n.number);
    auto answer = s.what;
    answer.kind = what::answer;
    answer.end = item_end::crashed;
    if (running > 1 && !hung) answer.end = item_end::suspect;
    if (running > 1 && hung && i != of.slot) answer.end = item_end::interrupted;
    must(!answer.alone || running == 1, "what is to run alone has nothing beside it");
    to_broker(which, answer);
  }
  for (auto i = first; i < end; ++i)
    if (i != of.slot && !p.slots[i].up)
      after(100ms, {.kind = what::slot_up,
                    .who = which,
                    .epoch = n.epoch,
                    .service = of.service,
                    .slot = i});
}

void world::withdraw(std::uint32_t which, const event& e) {
  auto& n = nodes_[which];
  for (auto& p : n.pools) {
    for (auto i = p.waiting.begin(); i != p.waiting.end(); ++i) {
      if (i->id != e.id || i->fence != e.fence) continue;
      const auto item = *i;
      p.waiting.erase(i);
      return give_back(which, item);
    }
    for (auto& s : p.slots) {
      if (!s.busy || s.what.id != e.id || s.what.fence != e.fence) continue;
      if (random_.one_in(3)) return; // a handler that does not look whether it is to stop
      auto sooner = s.what;
      sooner.run = ++s.run;
      sooner.end = item_end::answered;
      sooner.flag = false;
      return after(microseconds{random_.below(50'000)}, sooner);
    }
  }
}

void world::give_back(std::uint32_t which, const event& item) {
  oracle_.sent_back(item.id, nodes_[which].number, item.fence);
  auto back = item;
  back.kind = what::answer;
  back.end = item_end::returned;
  to_broker(which, back);
}

void world::look(std::uint32_t which, std::uint16_t service) {
  auto& n = nodes_[which];
  auto& p = n.pools[service];
  p.looking = false;
  if (p.waiting.empty()) return;
  const bool all_busy = std::all_of(p.slots.begin(), p.slots.end(),
                                    [](const slot& s) { return s.busy || s.taken || !s.up; });
  if (all_busy && now_ - p.last_end >= stall_timeout) {
    for (const auto& item : std::exchange(p.waiting, {})) give_back(which, item);
    return;
  }
  p.looking = true;
  after(look_interval, {.kind = what::look, .who = which, .epoch = n.epoch, .service = service});
}

// Says that it runs, and asks every now and then whether it is a member.
void world::beat(std::uint32_t which) {
  auto& n = nodes_[which];
  if (n.lease->beat(now_)) to_broker(which, {.kind = what::lease, .asked = now_});
  const bool idle = std::all_of(n.pools.begin(), n.pools.end(), [](const pool& p) {
    return p.waiting.empty() &&
           std::none_of(p.slots.begin(), p.slots.end(), [](const slot& s) { return s.busy; });
  });
  if (idle && now_ >= end_) return; // a world must come to its end
  n.beats = true;
  after(2 * start_lease::beat_interval, {.kind = what::beat, .who = which, .epoch = n.epoch});
}

void world::begin_all(std::uint32_t which) {
  for (std::uint16_t i = 0; i < nodes_[which].pools.size(); ++i) begin_work(which, i);
}

// As if there were another shard, whose messages this dispatcher knows nothing of.
void world::others(std::uint32_t which, const event& e) {
  auto& n = nodes_[which];
  auto same = e;
  if (e.kind == what::others) {
    if (now_ >= end_) return;
    after(microseconds{1 + static_cast<std::int64_t>(random_.exponential(others_us_))}, e);
    same.service = static_cast<std::uint16_t>(random_.below(services_));
    auto& slots = n.pools[same.service].slots;
    same.slot = static_cast<std::uint16_t>(random_.below(static_cast<std::uint32_t>(slots.size())));
    auto& s = slots[same.slot];
    if (!s.up || s.busy || s.taken) return;
    s.taken = true;
    same.run = ++s.run;
    oracle_.slot_event(n.number, same.service, true); // until it is told, the broker cannot know
    same.kind = what::others_on;
    after(long_run, same);
    same.kind = what::others_go;
    after(microseconds{1 + static_cast<std::int64_t>(random_.exponential(30'000))}, same);
    return;
  }
  auto& s = n.pools[e.service].slots[e.slot];
  if (!s.taken || s.run != e.run) return;
  if (e.kind == what::others_on) {
    s.told = true;
    to_broker(which, {.kind = what::slots, .service = e.service});
    oracle_.slot_event(n.number, e.service, false);
    return;
  }
  s.taken = false;
  if (std::exchange(s.told, false))
    to_broker(which, {.kind = what::slots, .service = e.service});
  else
    oracle_.slot_event(n.number, e.service, false);
  begin_work(which, e.service);
}

// -- what goes wrong ------------------------------------------------------------------------------

// The node stands still, or cannot be reached, for a while.
void world::trouble(std::uint32_t which, bool frozen) {
  auto& n = nodes_[which];
  if (!n.alive || n.frozen || n.cut) return;
  note("node %u is %s", which, frozen ? "frozen" : "cut off");
  (frozen ? n.frozen : n.cut) = true;
  ++n.trouble;
  const event same{.who = which, .epoch = n.epoch, .number = n.number, .run = n.trouble};
  auto suspect = same;
  suspect.kind = what::suspect;
  after(connection_timeout + milliseconds{random_.below(500)}, suspect);
  auto calm = same;
  calm.kind = what::calm;
  after(milliseconds{random_.one_in(2) ? random_.below(1000) : random_.below(8000)}, calm);
}

// Somebody drains the node, and lets it work again later.
void world::hold_node(std::uint32_t which) {
  const auto number = nodes_[which].number;
  if (number == no_index || !oracle_.is_present(number) || oracle_.is_drained(number)) return;
  note("somebody drains node number %u", number);
  oracle_.drained(number, true);
  dispatcher_.set_drained(number, true, now_);
  carry_out();
  after(milliseconds{random_.below(2000)}, {.kind = what::undrain, .number = number});
}

void world::pause_service() {
  const auto which = dispatcher_.find_service(service_name(random_.below(services_)));
  if (!which || oracle_.is_paused(*which)) return;
  note("somebody pauses service %u", *which);
  oracle_.paused(*which, true);
  dispatcher_.set_paused(*which, true, now_);
  carry_out();
  after(milliseconds{random_.below(2000)},
        {.kind = what::resume, .service = static_cast<std::uint16_t>(*which)});
}

void world::chaos() {
  if (now_ >= end_) return;
  after(microseconds{1 + static_cast<std::int64_t>(random_.exponential(chaos_us_))},
        {.kind = what::chaos});
  const auto which = random_.below(static_cast<std::uint32_t>(nodes_.size()));
  auto& n = nodes_[which];
  switch (random_.below(11)) {
  case 0:
  case 1:
    return die(which);
  case 2:
    return trouble(which, true);
  case 3:
    return trouble(which, false);
  case 4:
    return drain(which);
  case 5: // it joins a second time: it had given up waiting for the answer to the first
    if (!n.alive || n.frozen || n.cut) return;
    lose(which, n.number, "it joined again");
    return;
  case 6:
    return hold_node(which);
  case 7:
    return pause_service();
  case 8:
    return reload(which);
  case 9: {
    auto& c = clients_[random_.below(static_cast<std::uint32_t>(clients_.size()))];
    return leave(c);
  }
  default: { // a burst
    const auto c = random_.below(static_cast<std::uint32_t>(clients_.size()));
    clients_[c].burst = random_.between(1, 50);
  }
  }
}

// -- the network and the broker -------------------------------------------------------------------

void world::to_node(std::uint32_t which, event e) {
  auto& n = nodes_[which];
  e.who = which;
  e.epoch = n.epoch;
  n.to_node = std::max(n.to_node, now_ + network());
  events_.add(n.to_node, std::move(e));
}

void world::to_broker(std::uint32_t which, event e) {
  auto& n = nodes_[which];
  e.who = which;
  e.epoch = n.epoch;
  e.number = n.number;
  if (e.kind == what::slots) {
    const auto& slots = n.pools[e.service].slots;
    e.run = static_cast<std::uint32_t>(
        std::count_if(slots.begin(), slots.end(), [](const slot& s) { return s.up && !s.told; }));
    oracle_.slot_event(n.number, e.service, true);
  }
  if (n.cut) {
    n.held.emplace_back(now_, std::move(e));
    return;
  }
  n.to_broker = std::max(n.to_broker, now_ + network());
  events_.add(n.to_broker, std::move(e));
}

void world::lose(std::uint32_t which, node_number number, const char* why) {
  auto& n = nodes_[which];
  note("the broker: node number %u is lost (%s)", number, why);
  const bool stands = n.number == number && n.lease && !n.lease->allows(now_);
  oracle_.lost(number, stands);
  dispatcher_.lose(number, why, now_);
  carry_out();
  if (!n.alive || n.number != number) return;
  // The node notices when it can, forgets what it had, and joins again. What it sends until then is
  // of a node that the broker does not know any more.
  if (n.frozen || n.cut) { // by what has come meanwhile, or by its own patience
    if (n.frozen)
      n.held.emplace_back(now_, event{.kind = what::dropped, .who = which, .epoch = n.epoch});
    else
      after(milliseconds{random_.below(1000)},
            {.kind = what::dropped, .who = which, .epoch = n.epoch});
    return;
  }
  dropped(which);
}

void world::dropped(std::uint32_t which) {
  auto& n = nodes_[which];
  const auto number = n.number;
  note("node %u forgets what it was asked", which);
  n.alive = false;
  for (auto& [at, held] : std::exchange(n.held, {}))
    if (!is_for_node(held.kind)) events_.add(now_ + milliseconds{random_.below(5000)}, held);
  for (std::uint16_t service = 0; service < n.pools.size(); ++service)
    for (const auto& s : n.pools[service].slots) { // late answers of superseded attempts
      if (!s.busy) continue;
      auto late = s.what;
      late.kind = what::answer;
      late.number = number;
      after(milliseconds{random_.below(5000)}, late);
    }
  after(milliseconds{50 + random_.below(3000)}, {.kind = what::start, .who = which});
}

void world::broker_step(const event& e) {
  const bool present = oracle_.is_present(e.number);
  switch (e.kind) {
  case what::answer:
    if (e.end == item_end::returned) {
      oracle_.returned(e.id, e.number, e.fence, now_);
      dispatcher_.give_back(e.number, e.request, e.fence, now_);
    } else if (e.end == item_end::crashed) {
      oracle_.crashed(e.id, e.number, e.fence);
      dispatcher_.crash(e.number, e.request, e.fence, "signal 11", now_);
    } else if (e.end == item_end::suspect) {
      oracle_.crashed_among_others(e.id, e.number, e.fence);
      dispatcher_.crash_among_others(e.number, e.request, e.fence, "signal 11", now_);
    } else if (e.end == item_end::interrupted) {
      // What may be started only once is as good as lost.
      if (oracle_.requests[e.id].attempts == 1)
        oracle_.crashed(e.id, e.number, e.fence);
      else
        oracle_.interrupted(e.id, e.number, e.fence);
      dispatcher_.interrupt(e.number, e.request, e.fence, "signal 9", now_);
    } else {
      const auto whom =
          dispatcher_.complete(e.number, e.request, e.fence, microseconds{e.run_us}, now_);
      if (whom) {
        note("answer to %u (attempt %u of node number %u)", e.id, e.attempt, e.number);
        const bool is_there = std::any_of(clients_.begin(), clients_.end(), [&](const client& c) {
          return c.connection == whom->connection;
        }); // else nobody is told
        oracle_.completed(e.id, e.number, e.fence, is_there ? whom->connection : connection_id{},
                          now_);
      }
    }
    break;
  case what::slots:
    note("the broker hears of %u slots of service %u on node number %u", e.run, e.service,
         e.number);
    oracle_.slot_event(e.number, e.service, false);
    dispatcher_.set_slots(e.number, e.service, e.run, now_);
    break;
  case what::failing:
    if (present) oracle_.failing(e.number, e.service, e.flag);
    dispatcher_.set_failing(e.number, e.service, e.flag, now_);
    break;
  case what::retire:
    if (!present) return;
    end_turn(); // what was placed goes before the answer
    oracle_.retired(e.number);
    dispatcher_.retire(e.number, now_);
    carry_out();
    end_turn();
    return to_node(e.who, {.kind = what::retired});
  case what::lease:
    if (!present) return;
    end_turn();
    return to_node(e.who, {.kind = what::leased, .asked = e.asked});
  case what::goodbye: {
    if (!present) return;
    must(dispatcher_.view(e.number).in_flight == 0, "a node that is drained holds nothing");
    auto& n = nodes_[e.who];
    lose(e.who, e.number, "it was drained");
    n.alive = false;
    return;
  }
  case what::lost:
    return lose(e.who, e.number, "its process died");
  default:
    throw violation{"no such event"};
  }
  carry_out();
}

// As the front does: what the dispatcher decided.
void world::carry_out(bool at_once) {
  auto& todo = dispatcher_.pending();
  if (dispatcher_.has_placed() && !std::exchange(turn_open_, true))
    after(microseconds{random_.one_in(3) ? random_.below(100) : 0}, {.kind = what::turn});
  for (const auto& r : todo.refuse) {
    // Whoever has gone since it was decided is told nothing, nor is anybody else.
    if (std::none_of(clients_.begin(), clients_.end(),
                     [&](const client& c) { return c.connection == r.connection; }))
      continue;
    note("refusal of %u: %s %s", static_cast<std::uint32_t>(r.request_id),
         std::string{name_of(r.code)}.c_str(), r.detail.c_str());
    oracle_.refused(static_cast<std::uint32_t>(r.request_id), r, at_once, now_);
  }
  for (const auto& w : todo.withdraw) {
    const auto which = node_of_number_[w.node];
    if (nodes_[which].number != w.node) continue;
    const auto* r = dispatcher_.find(w.request);
    if (!r) continue;
    event e{.kind = what::withdraw, .request = w.request};
    e.id = static_cast<std::uint32_t>(r->client_id);
    e.fence = w.fence;
    to_node(which, e);
  }
  for (const auto connection : todo.reading)
    for (std::uint32_t i = 0; i < clients_.size(); ++i)
      if (clients_[i].connection == connection && !dispatcher_.paused(connection) &&
          std::exchange(clients_[i].waits, false))
        after(10us, {.kind = what::submit, .who = i});
  todo.refuse.clear();
  todo.withdraw.clear();
  todo.reading.clear();
  if (dispatcher_.needs_time() && !std::exchange(tick_expected_, true))
    after(tick_interval, {.kind = what::tick});
  if (dispatcher_.has_more_to_end() && !std::exchange(more_ends_expected_, true))
    after(microseconds{1 + random_.below(100)}, {.kind = what::more_ends});
}

// What was placed in this turn, and is still wanted, leaves.
void world::end_turn() {
  dispatcher_.take_placed(
      [this](node_number to, token which, const request& r, std::uint16_t service) {
        const auto id = static_cast<std::uint32_t>(r.client_id);
        note("%u goes to node number %u (placing %u, attempt %u)", id, to, r.fence, r.attempt());
        oracle_.placed(id, to, r, now_);
        event e{.kind = what::work, .id = id, .request = which};
        e.deadline = r.deadline;
        e.service = service;
        e.fence = r.fence;
        e.attempt = r.attempt();
        e.alone = r.alone;
        e.bytes_of = mark_in(r.payload);
        to_node(node_of_number_[to], e);
      });
}

} // namespace ropewalk::sim
