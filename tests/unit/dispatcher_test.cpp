#include "actors/dispatch/dispatcher.hpp"
#include "tests/catch.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <utility>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

// A dispatcher with a client, and a shorthand for what a test says of it. Checks the invariants
// after every event.
struct bench {
  explicit bench(dispatch_settings with = {}) : d(with, instant{}, 1) { client = d.connect(); }

  node_number join(std::uint32_t slots, const std::string& service = "svc") {
    const auto node = d.join({{service, slots}}, now);
    d.check();
    return node;
  }

  void submit(std::uint64_t id, std::optional<std::uint8_t> attempts = {},
              std::optional<milliseconds> timeout = {}, std::size_t bytes = 8,
              const std::string& service = "svc") {
    submission what;
    what.connection = client;
    what.request_id = id;
    what.service = *d.service_to_ask(service, now);
    what.payload = shared_bytes::copy_of(std::string(bytes, 'x'));
    what.attempts = attempts;
    what.timeout = timeout;
    d.submit(what, now);
    d.check();
  }

  // What was placed since the last call, in order: (node, client's id).
  std::vector<std::pair<node_number, std::uint64_t>> placed() {
    std::vector<std::pair<node_number, std::uint64_t>> result;
    d.take_placed([&](node_number node, token which, const request& r, std::uint16_t) {
      result.emplace_back(node, r.client_id);
      last[r.client_id] = {node, which, r.fence, r.attempt()};
    });
    d.check();
    return result;
  }

  std::vector<std::pair<std::uint64_t, error_code>> refused() {
    std::vector<std::pair<std::uint64_t, error_code>> result;
    for (const auto& r : d.pending().refuse) {
      result.emplace_back(r.request_id, r.code);
      detail = r.detail;
      retry_after_ms = r.retry_after_ms;
    }
    d.pending().refuse.clear();
    return result;
  }

  bool complete(std::uint64_t id, microseconds run_time = 1s) {
    const auto& l = last.at(id);
    const auto whom = d.complete(l.node, l.request, l.fence, run_time, now);
    d.check();
    return whom && whom->connection == client && whom->request_id == id;
  }

  void crash(std::uint64_t id) {
    const auto& l = last.at(id);
    d.crash(l.node, l.request, l.fence, "signal 11", now);
    d.check();
    placed();
  }

  struct where {
    node_number node;
    token request;
    std::uint32_t fence;
    std::uint8_t attempt;
  };

  dispatcher d;
  connection_id client;
  instant now{};
  std::map<std::uint64_t, where> last; // where a request was placed last
  std::string detail;
  std::uint32_t retry_after_ms = 0;
};

using placements = std::vector<std::pair<node_number, std::uint64_t>>;
using refusals = std::vector<std::pair<std::uint64_t, error_code>>;

} // namespace

TEST_CASE("a service is known once a node offered it, and stays known") {
  bench b;
  REQUIRE_FALSE(b.d.find_service("svc"));
  const auto node = b.join(1);
  REQUIRE(b.d.find_service("svc"));
  b.d.lose(node, "gone", b.now);
  REQUIRE(b.d.find_service("svc"));
}

TEST_CASE(
    "a request that waited in vain for a service whose last node left is told so at its end") {
  bench b;
  const auto node = b.join(1);
  b.d.lose(node, "gone", b.now);
  b.submit(1, {}, 2500ms);
  REQUIRE(b.d.waiting_without_node("svc") == 1u);
  REQUIRE_FALSE(b.d.waiting_without_node("other"));
  b.now += 2500ms;
  b.d.advance(b.now);
  REQUIRE(b.refused() == refusals{{1, error_code::timeout}});
  REQUIRE(b.detail ==
          "no node has offered service 'svc' since its last one left 2.5 s ago; start a "
          "worker that does");
  b.join(1);
  REQUIRE_FALSE(b.d.waiting_without_node("svc"));
  b.submit(2, {}, 1s);
  b.placed();
  b.now += 1s;
  b.d.advance(b.now);
  REQUIRE(b.refused() == refusals{{2, error_code::timeout}});
  REQUIRE(b.detail.empty()); // it is offered: that is not why
}

TEST_CASE("a broker that has just begun lets requests wait for workers that may be on their way") {
  bench b;
  b.submit(1);
  b.submit(2, {}, {}, 8, "nobody's");
  b.submit(3, {}, 1s, 8, "nobody's");
  b.now += 1s;
  b.d.advance(b.now);
  REQUIRE(b.refused() == refusals{{3, error_code::timeout}});
  REQUIRE(b.detail.find("no worker has offered service 'nobody's'") == 0);
  const auto asked = *b.d.find_service("nobody's");
  REQUIRE(b.d.is_service(asked)); // as long as something waits for it
  const auto node = b.join(1);
  REQUIRE(b.placed() == placements{{node, 1}});
  b.now += 1999ms;
  b.d.advance(b.now);
  REQUIRE(b.refused().empty());
  b.now += 1ms;
  b.d.advance(b.now);
  b.d.check();
  REQUIRE(b.refused() == refusals{{2, error_code::no_service}});
  REQUIRE(b.detail.find("no worker has offered service 'nobody's'") == 0);
  REQUIRE_FALSE(b.d.service_to_ask("nobody's", b.now));
  REQUIRE_FALSE(b.d.service_to_ask("nobody else's", b.now));
  REQUIRE_FALSE(b.d.is_service(asked)); // a name that was asked for is none
  REQUIRE(b.d.is_service(*b.d.find_service("svc")));
  const auto late = b.join(1, "nobody's"); // somebody offers it after all
  b.submit(4, {}, {}, 8, "nobody's");
  REQUIRE(b.placed() == placements{{late, 4}});
  b.d.lose(late, "gone", b.now);
  b.refused();
  b.submit(5, {}, {}, 8, "nobody's"); // waits, as for any service whose last node left
  REQUIRE(b.refused().empty());
  REQUIRE(b.d.is_service(asked));
}

TEST_CASE(
    "names that are asked for before there are workers are bounded, and without a grace there "
    "are none") {
  bench b;
  for (std::size_t i = 0; i < limits::max_services; ++i)
    REQUIRE(b.d.service_to_ask("s" + std::to_string(i), b.now));
  CHECK_FALSE(b.d.service_to_ask("one more", b.now));
  CHECK(b.d.service_to_ask("s0", b.now));
  CHECK_FALSE(b.d.service_to_ask(std::string(limits::max_service_bytes + 1, 'x'), b.now));
  dispatch_settings none;
  none.startup_grace = 0ms;
  bench strict{none};
  CHECK_FALSE(strict.d.service_to_ask("s0", strict.now));
}

TEST_CASE(
    "told so, a request for a service whose last node left is answered at once, and those that "
    "wait are, too") {
  dispatch_settings settings;
  settings.refuse_unoffered = true;
  bench b{settings};
  const auto first = b.join(1);
  const auto second = b.join(1);
  b.submit(1);
  b.submit(2);
  b.placed();
  b.submit(3);
  b.d.lose(first, "gone", b.now);
  REQUIRE(b.refused().empty()); // there is another one
  b.d.lose(second, "gone", b.now);
  b.d.check();
  auto answered = b.refused();
  std::sort(answered.begin(), answered.end());
  REQUIRE(answered == refusals{{1, error_code::worker_lost}, // it ran
                               {2, error_code::worker_lost},
                               {3, error_code::no_service}});
  b.submit(4);
  REQUIRE(b.refused() == refusals{{4, error_code::no_service}});
  REQUIRE(b.detail.find("no node has offered service 'svc' since") == 0);
  REQUIRE(b.d.totals().waiting == 0);
  const auto third = b.join(1);
  b.submit(5);
  REQUIRE(b.placed() == placements{{third, 5}});
}

TEST_CASE("a request goes to a free slot at once and its answer to its client, once") {
  bench b;
  const auto node = b.join(1);
  b.submit(1);
  REQUIRE(b.placed() == placements{{node, 1}});
  REQUIRE(b.complete(1));
  REQUIRE_FALSE(b.complete(1)); // a second answer is refused
  REQUIRE(b.d.totals().stale == 1);
}

TEST_CASE("a request waits at the broker until a slot is free: binding is late") {
  bench b;
  const auto a = b.join(1);
  b.submit(1);
  b.submit(2);
  b.submit(3);
  REQUIRE(b.placed() == placements{{a, 1}});
  const auto other = b.join(1); // comes later, and takes what waited
  REQUIRE(b.placed() == placements{{other, 2}});
  b.complete(1);
  REQUIRE(b.placed() == placements{{a, 3}});
}

TEST_CASE("a short message never waits behind a long one while a slot elsewhere is idle") {
  bench b;
  const auto a = b.join(1);
  const auto c = b.join(1);
  for (std::uint64_t id = 1; id <= 200;
       ++id) { // both nodes known to be fast: they have deep credit
    b.submit(id);
    b.placed();
    b.complete(id, 2us);
  }
  b.submit(1001);
  b.submit(1002);
  const auto where = b.placed();
  REQUIRE(where.size() == 2);
  REQUIRE(where[0].first != where[1].first);
  REQUIRE(((where[0].first == a && where[1].first == c) ||
           (where[0].first == c && where[1].first == a)));
}

TEST_CASE("what is handed out ahead adapts to how long messages take") {
  bench b;
  b.join(2);
  for (std::uint64_t id = 1; id <= 100; ++id) b.submit(id);
  REQUIRE(b.placed().size() == 2); // nothing is known: only the slots
  b.complete(1, 5us);
  REQUIRE(b.placed().size() > 50); // microseconds: deep
}

TEST_CASE(
    "a node that gives messages back is handed nothing ahead until one of its messages ends") {
  bench b;
  const auto a = b.join(1);
  for (std::uint64_t id = 1; id <= 50; ++id) {
    b.submit(id);
    b.placed();
    b.complete(id, 2us);
  }
  for (std::uint64_t id = 101; id <= 110; ++id) b.submit(id); // 101 will take long
  REQUIRE(b.placed().size() == 10);
  for (std::uint64_t id = 102; id <= 110; ++id) {
    const auto l = b.last.at(id);
    b.d.give_back(l.node, l.request, l.fence, b.now);
    b.d.check();
  }
  REQUIRE(b.placed().empty()); // not to the same node again
  const auto other = b.join(9);
  const auto moved = b.placed();
  REQUIRE(moved.size() == 9);
  for (const auto& [node, id] : moved) REQUIRE(node == other);
  b.submit(111);
  REQUIRE(b.placed().empty());
  REQUIRE(b.complete(101, 3us));
  REQUIRE(b.placed() == placements{{a, 111}});
}

TEST_CASE("the bytes handed out ahead are bounded however fast the service is") {
  dispatch_settings with;
  with.node_bytes = 1 << 20;
  bench b{with};
  b.join(1);
  b.submit(1);
  b.placed();
  b.complete(1, 1us);
  for (std::uint64_t id = 2; id <= 100; ++id) b.submit(id, {}, {}, 100'000);
  REQUIRE(b.placed().size() == 11);
}

TEST_CASE("load is spread over the nodes") {
  bench b;
  std::map<node_number, int> count;
  for (int i = 0; i < 4; ++i) count[b.join(8)] = 0;
  for (std::uint64_t id = 1; id <= 32; ++id) b.submit(id);
  for (const auto& [node, id] : b.placed()) ++count[node];
  for (const auto& [node, n] : count) REQUIRE(n == 8);
}

TEST_CASE("what a dead node had is run elsewhere, in its old order, and answered once") {
  bench b;
  const auto a = b.join(3);
  for (std::uint64_t id = 1; id <= 5; ++id) b.submit(id);
  REQUIRE(b.placed().size() == 3);
  b.d.lose(a, "killed", b.now);
  b.d.check();
  const auto c = b.join(5);
  REQUIRE(b.placed() == placements{{c, 1}, {c, 2}, {c, 3}, {c, 4}, {c, 5}});
  for (std::uint64_t id = 1; id <= 5; ++id) REQUIRE(b.complete(id));
  REQUIRE(b.d.totals().redispatched == 3);
}

TEST_CASE("only what a dead node was running is charged an attempt") {
  bench b;
  auto node = b.join(1);
  b.submit(1);
  b.placed();
  b.complete(1, 100us); // credit: 1 running, 20 ahead
  b.submit(10);
  for (std::uint64_t id = 11; id <= 15; ++id) b.submit(id);
  REQUIRE(b.placed().size() == 6);
  // 10 is poison: it kills every node that runs it. 11 to 15 merely wait behind it.
  for (int deaths = 0; deaths < 3; ++deaths) {
    b.d.lose(node, "killed", b.now);
    b.d.check();
    if (deaths < 2) {
      node = b.join(1);
      REQUIRE(b.placed().front() == std::pair<node_number, std::uint64_t>{node, 10});
    }
  }
  REQUIRE(b.refused() == refusals{{10, error_code::worker_lost}});
  REQUIRE(b.detail.find("3 times") != std::string::npos);
  node = b.join(5);
  REQUIRE(b.placed() == placements{{node, 11}, {node, 12}, {node, 13}, {node, 14}, {node, 15}});
}

TEST_CASE("a message that crashes its slot is set apart after its attempts, with what is known") {
  bench b;
  b.join(1);
  b.submit(1);
  b.placed();
  b.crash(1);
  b.crash(1);
  REQUIRE(b.refused().empty());
  b.crash(1);
  REQUIRE(b.refused() == refusals{{1, error_code::worker_lost}});
  REQUIRE(b.detail.find("signal 11") != std::string::npos);
  b.submit(2); // the service lives on
  REQUIRE(b.placed().size() == 1);
}

TEST_CASE("what its node's stop signal has ended is started again at once, and not charged") {
  bench b;
  auto node = b.join(1);
  b.submit(1, std::uint8_t{2});
  for (std::uint8_t start = 1; start <= 5; ++start) { // more than it is allowed to crash
    REQUIRE(b.placed().size() == 1);
    const auto l = b.last.at(1);
    REQUIRE(l.attempt == start); // the handler sees that it was started before
    b.d.interrupt(l.node, l.request, l.fence, "stopped", b.now);
    b.d.check();
    REQUIRE(b.placed().empty()); // that node is on its way out
    b.d.lose(std::exchange(node, b.join(1)), "left", b.now);
  }
  b.placed();
  b.crash(1);
  REQUIRE(b.refused().empty());
  b.crash(1);
  REQUIRE(b.refused() == refusals{{1, error_code::worker_lost}});
}

TEST_CASE("with one attempt what its node's stop signal has ended is not run again") {
  bench b;
  b.join(1);
  b.submit(1, std::uint8_t{1});
  b.placed();
  const auto l = b.last.at(1);
  b.d.interrupt(l.node, l.request, l.fence, "stopped", b.now);
  b.d.check();
  REQUIRE(b.refused() == refusals{{1, error_code::worker_lost}});
}

TEST_CASE("with one attempt a request that may have run is never run again") {
  bench b;
  const auto a = b.join(1);
  b.submit(1);
  b.placed();
  b.complete(1, 10us);
  b.submit(2, std::uint8_t{1});
  b.submit(3, std::uint8_t{1}); // waits on the node, but may have run unseen: at most once
  REQUIRE(b.placed().size() == 2);
  b.d.lose(a, "killed", b.now);
  REQUIRE(b.refused().size() == 2);
  b.join(1);
  REQUIRE(b.placed().empty());
}

TEST_CASE("what a node gives back unstarted is not charged, however often, and is no start") {
  bench b;
  b.join(1);
  b.submit(1, {}, 1h);
  for (std::uint32_t i = 0; i < 300; ++i) {
    REQUIRE(b.placed().size() == 1);
    const auto l = b.last.at(1);
    REQUIRE(l.fence == i + 1);
    REQUIRE(l.attempt == 1);
    b.d.give_back(l.node, l.request, l.fence, b.now);
    b.d.check();
    REQUIRE(b.placed().empty()); // not there again at once
    b.now += node_selector::longest_rest;
    b.d.advance(b.now);
  }
  b.placed();
  b.crash(1);
  REQUIRE(b.last.at(1).attempt == 2);
  REQUIRE(b.complete(1));
}

TEST_CASE("who gives back again and again is left alone for longer, until a message ends there") {
  bench b;
  b.join(2);
  auto pause = [&](std::uint64_t id) {
    const auto l = b.last.at(id);
    const auto then = b.now;
    b.d.give_back(l.node, l.request, l.fence, b.now);
    while (b.placed().empty()) {
      b.now += 1ms;
      b.d.advance(b.now);
    }
    return b.now - then;
  };
  b.submit(1);
  b.submit(2);
  REQUIRE(b.placed().size() == 2);
  REQUIRE(pause(1) == 20ms);
  REQUIRE(pause(1) == 40ms);
  REQUIRE(pause(1) == 80ms);
  REQUIRE(pause(1) == 160ms);
  REQUIRE(pause(1) == 160ms);
  const auto l = b.last.at(1);
  b.d.give_back(l.node, l.request, l.fence, b.now);
  b.complete(2);
  REQUIRE(b.placed().size() == 1);
  REQUIRE(pause(1) == 20ms);
}

TEST_CASE("what is taken back before it has left never leaves, and nobody is charged for it") {
  bench b;
  const auto a = b.join(1);
  b.submit(1);
  b.d.cancel(b.client, 1, b.now);
  b.d.check();
  REQUIRE(b.placed().empty());
  REQUIRE(b.d.pending().withdraw.empty());
  REQUIRE(b.refused() == refusals{{1, error_code::cancelled}});
  b.submit(2, {}, 10ms); // a deadline in the same turn
  b.submit(3);
  b.now += 20ms;
  b.d.advance(b.now);
  REQUIRE(b.placed() == placements{{a, 3}});
  REQUIRE(b.complete(3));
  b.submit(4); // a client that goes away in the same turn
  b.d.disconnect(b.client, b.now);
  b.client = b.d.connect();
  REQUIRE(b.placed().empty());
  b.submit(5, std::uint8_t{1}); // a node that goes away in the same turn: it was not there
  b.d.lose(a, "gone", b.now);
  const auto other = b.join(1);
  REQUIRE(b.placed() == placements{{other, 5}});
  REQUIRE(b.last.at(5).attempt == 1);
  REQUIRE(b.complete(5));
}

TEST_CASE("a connection's index is given again, its identity is not") {
  bench b;
  b.join(1);
  b.submit(1, {}, 10ms);
  b.placed();
  b.now += 20ms;
  b.d.advance(b.now); // leaves a refusal among the actions
  const auto gone = b.client;
  b.d.disconnect(gone, b.now);
  b.client = b.d.connect();
  REQUIRE(b.client.index == gone.index);
  REQUIRE(b.client != gone);
  REQUIRE(b.d.pending().refuse.size() == 1);
  REQUIRE(b.d.pending().refuse[0].connection == gone);
}

TEST_CASE("a node's number is not given again") {
  bench b;
  const auto first = b.join(1);
  b.d.lose(first, "gone", b.now);
  const auto second = b.join(1);
  REQUIRE(second != first);
  b.d.set_slots(first, 0, 0, b.now); // late words of one that is gone
  b.d.set_failing(first, 0, true, b.now);
  b.d.retire(first, b.now);
  b.d.lose(first, "again", b.now);
  b.submit(1);
  REQUIRE(b.placed() == placements{{second, 1}});
}

TEST_CASE("the answer of a superseded attempt is refused") {
  bench b;
  b.join(1);
  b.submit(1);
  b.placed();
  const auto first = b.last.at(1);
  b.crash(1); // placed anew, on the same node
  const auto second = b.last.at(1);
  REQUIRE(second.fence == first.fence + 1);
  REQUIRE_FALSE(b.d.complete(first.node, first.request, first.fence, 1s, b.now));
  REQUIRE(b.d.complete(second.node, second.request, second.fence, 1s, b.now));
}

TEST_CASE("a node that was declared lost answers in vain") {
  bench b;
  const auto a = b.join(1);
  b.submit(1);
  b.placed();
  const auto there = b.last.at(1);
  b.d.lose(a, "cut off", b.now);
  b.join(1);
  b.placed();
  REQUIRE_FALSE(b.d.complete(there.node, there.request, there.fence, 1s, b.now));
  REQUIRE(b.complete(1));
}

TEST_CASE("a token is never used twice") {
  bench b;
  b.join(1);
  b.submit(1);
  b.placed();
  const auto old = b.last.at(1);
  b.complete(1);
  b.submit(2);
  b.placed();
  REQUIRE(b.last.at(2).request != old.request);
  REQUIRE_FALSE(b.d.complete(old.node, old.request, old.fence, 1s, b.now));
  REQUIRE(b.complete(2));
}

TEST_CASE("a request that waits is answered TIMEOUT at its deadline and never starts") {
  bench b;
  b.join(1);
  b.submit(1);
  b.submit(2, {}, 100ms);
  b.placed();
  b.now += 90ms;
  b.d.advance(b.now);
  REQUIRE(b.refused().empty());
  b.now += 20ms;
  b.d.advance(b.now);
  b.d.check();
  REQUIRE(b.refused() == refusals{{2, error_code::timeout}});
  b.complete(1);
  REQUIRE(b.placed().empty());
}

TEST_CASE("whatever deadline a request asks for, it gets no more than the longest") {
  dispatch_settings limits;
  limits.max_deadline = 1s;
  limits.timeout = 10s;
  bench b{limits};
  b.join(1);
  b.submit(1);
  b.placed();
  b.submit(2);            // asks for none
  b.submit(3, {}, 1193h); // as long as a request can say
  b.submit(4, {}, 500ms); // less is less
  b.now += 510ms;
  b.d.advance(b.now);
  CHECK(b.refused() == refusals{{4, error_code::timeout}});
  b.now += 500ms;
  b.d.advance(b.now);
  b.d.check();
  const auto ended = b.refused();
  CHECK(ended.size() == 3);
  CHECK(b.d.totals().waiting == 0);
}

TEST_CASE("a request that runs beyond its deadline is answered TIMEOUT, its node told, its slot "
          "free when that says so") {
  bench b;
  const auto a = b.join(1);
  b.submit(1, {}, 100ms);
  b.placed();
  b.now += 200ms;
  b.d.advance(b.now);
  REQUIRE(b.refused() == refusals{{1, error_code::timeout}});
  REQUIRE(b.d.pending().withdraw.size() == 1);
  REQUIRE(b.d.pending().withdraw[0].node == a);
  b.submit(2);
  REQUIRE(b.placed().empty());  // the slot is not free yet
  REQUIRE_FALSE(b.complete(1)); // an answer for nobody
  REQUIRE(b.placed() == placements{{a, 2}});
}

TEST_CASE("a retry gets what is left of the deadline, not a new one") {
  bench b;
  const auto a = b.join(1);
  b.submit(1, {}, 1000ms);
  b.placed();
  b.now += 900ms;
  b.d.lose(a, "killed", b.now);
  b.join(1);
  b.placed();
  REQUIRE(b.d.find(b.last.at(1).request)->deadline == instant{} + 1000ms);
  b.now += 120ms;
  b.d.advance(b.now);
  REQUIRE(b.refused() == refusals{{1, error_code::timeout}});
}

TEST_CASE("a service whose nodes are all gone holds its requests until the deadline") {
  bench b;
  b.d.lose(b.join(1), "killed", b.now);
  b.submit(1, {}, 500ms);
  REQUIRE(b.refused().empty());
  b.now += 600ms;
  b.d.advance(b.now);
  REQUIRE(b.refused() == refusals{{1, error_code::timeout}});
}

TEST_CASE("a service that no node offers and nobody asks for is forgotten after ten minutes") {
  bench b;
  b.d.lose(b.join(1), "killed", b.now);
  for (std::uint64_t id = 1; id <= 3; ++id) { // as long as somebody asks, it waits for a node
    b.now += 9min;
    b.submit(id, {}, 1s);
    REQUIRE(b.refused().empty());
    b.now += 2s;
    b.d.advance(b.now);
    REQUIRE(b.refused() == refusals{{id, error_code::timeout}});
  }
  b.now += 10min;
  b.submit(4);
  REQUIRE(b.refused() == refusals{{4, error_code::no_service}});
  REQUIRE(b.detail.find("no node has offered service 'svc' since") == 0);
  b.join(1);
  b.submit(5);
  REQUIRE(b.placed().size() == 1);
}

TEST_CASE("what has failed is started again as often as it may be, and its last failure is its "
          "answer") {
  bench b;
  b.join(1);
  b.submit(1, std::uint8_t{2});
  b.placed();
  const auto fail = [&](std::uint64_t id) {
    const auto& l = b.last.at(id);
    const bool again = b.d.start_failed_again(l.node, l.request, l.fence, b.now);
    b.d.check();
    b.placed();
    return again;
  };
  REQUIRE(fail(1));
  REQUIRE(b.last.at(1).attempt == 2);
  REQUIRE_FALSE(fail(1));
  REQUIRE(b.complete(1));
  b.submit(2, std::uint8_t{1});
  b.placed();
  REQUIRE_FALSE(fail(2));
  REQUIRE(b.complete(2));
  b.submit(3);
  b.placed();
  b.d.disconnect(b.client, b.now);
  REQUIRE_FALSE(fail(3)); // nobody waits for it
}

TEST_CASE("what a request has for its handler is kept until it is done with, and counted") {
  bench b;
  b.join(2);
  const handler_fields fields{shared_bytes::copy_of("key and trace")};
  submission what;
  what.connection = b.client;
  what.service = *b.d.find_service("svc");
  what.payload = shared_bytes::copy_of("x");
  b.submit(1);
  const auto plain = b.d.totals().held_bytes;
  what.request_id = 2;
  what.fields = &fields;
  b.d.submit(what, b.now);
  REQUIRE(b.d.totals().held_bytes - plain == plain - 8 + 1 + fields.bytes.size());
  std::vector<std::string> seen;
  const auto look = [&] {
    b.d.take_placed([&](node_number node, token which, const request& r, std::uint16_t) {
      seen.push_back(r.has_fields ? std::string{b.d.fields_of(which)} : "none");
      b.last[r.client_id] = {node, which, r.fence, r.attempt()};
    });
  };
  look();
  REQUIRE(seen == std::vector<std::string>{"none", "key and trace"});
  const auto& l = b.last.at(2);
  b.d.crash(l.node, l.request, l.fence, "signal 11", b.now);
  look();
  REQUIRE(seen.back() == "key and trace"); // the next start has them, too
  REQUIRE(b.complete(2));
  REQUIRE(b.complete(1));
  for (std::uint64_t id = 3; id < 6; ++id) b.submit(id); // in the same places
  look();
  REQUIRE(seen.back() == "none");
}

TEST_CASE("a client that is gone has its waiting requests dropped and its running ones withdrawn") {
  bench b;
  const auto a = b.join(1);
  b.submit(1);
  b.submit(2);
  b.placed();
  b.d.disconnect(b.client, b.now);
  b.d.check();
  REQUIRE(b.d.pending().withdraw.size() == 1);
  REQUIRE(b.d.totals().waiting == 0);
  REQUIRE(b.d.totals().held_bytes == 0);
  const auto l = b.last.at(1);
  const auto whom = b.d.complete(a, l.request, l.fence, 1s, b.now);
  REQUIRE_FALSE(whom->connection.valid());
  b.client = b.d.connect(); // the same number may be another client's now
  b.submit(3);
  REQUIRE(b.placed() == placements{{a, 3}});
  REQUIRE(b.complete(3));
}

TEST_CASE(
    "of a client that goes away with very much some is ended at a time, and none of it started") {
  dispatch_settings some;
  some.ends_per_turn = 16;
  some.node_prefetch = 0;
  bench b{some};
  const auto a = b.join(2);
  for (std::uint64_t id = 1; id <= 40; ++id) b.submit(id);
  const auto gone = std::exchange(b.client, b.d.connect());
  b.submit(100);
  REQUIRE(b.placed() == placements{{a, 1}, {a, 2}});
  b.d.disconnect(gone, b.now);
  b.d.check();
  REQUIRE(b.d.has_more_to_end());
  REQUIRE(b.d.totals().waiting == 39);
  const auto l = b.last.at(1);
  b.d.crash(l.node, l.request, l.fence, "signal 11", b.now); // it goes nowhere, either
  b.d.check();
  REQUIRE(b.placed() == placements{{a, 100}});
  const auto l2 = b.last.at(2);
  const auto whom = b.d.complete(l2.node, l2.request, l2.fence, 1s, b.now);
  REQUIRE(whom->connection == gone); // and nobody's else
  REQUIRE(b.d.connect() != gone);
  REQUIRE(b.placed().empty());
  b.d.end_more(b.now);
  b.d.check();
  REQUIRE(b.d.has_more_to_end());
  REQUIRE(b.d.totals().waiting == 22);
  while (b.d.has_more_to_end()) b.d.end_more(b.now);
  b.d.check();
  REQUIRE(b.d.totals().waiting == 0);
  REQUIRE(b.d.totals().placed == 1);
  REQUIRE(b.complete(100));
  REQUIRE(b.d.totals().held_bytes == 0);
  const auto next = b.d.connect(); // in its place
  REQUIRE(next.index == gone.index);
  REQUIRE(next.generation != gone.generation);
}

TEST_CASE("however many come with much and go again, what is to be ended does not grow") {
  dispatch_settings some;
  some.ends_per_turn = 16;
  bench b{some};
  for (std::uint64_t i = 0; i < 1000; ++i) b.submit(i + 1); // there was much before
  constexpr std::uint32_t a_turn = 10 * 5;
  for (int turns = 0; turns < 100; ++turns) {
    for (int i = 0; i < 10; ++i) {
      const auto stays = std::exchange(b.client, b.d.connect());
      for (std::uint64_t id = 1; id <= 5; ++id) b.submit(id);
      b.d.disconnect(std::exchange(b.client, stays), b.now);
    }
    REQUIRE(b.d.totals().waiting <= 1000 + 2 * a_turn);
    b.d.end_more(b.now);
    b.d.check();
  }
  b.d.disconnect(b.client, b.now);
  b.d.end_more(b.now);
  REQUIRE(b.d.totals().waiting >= 1000 - a_turn - 16); // some, and not all at once
}

TEST_CASE("a client that goes away with little has it ended at once") {
  bench b;
  b.join(1);
  for (std::uint64_t id = 1; id <= limits::ends_per_turn / 8; ++id) b.submit(id);
  b.d.disconnect(b.client, b.now);
  REQUIRE_FALSE(b.d.has_more_to_end());
  REQUIRE(b.d.totals().held_bytes == 0);
}

TEST_CASE("of deadlines that many have some are ended at a time") {
  dispatch_settings some;
  some.ends_per_turn = 16;
  bench b{some};
  for (std::uint64_t id = 1; id <= 40; ++id) b.submit(id, {}, 100ms);
  b.now += 200ms;
  b.d.advance(b.now);
  b.d.check();
  std::vector<std::size_t> refused{b.refused().size()};
  while (b.d.has_more_to_end()) {
    b.d.end_more(b.now);
    b.d.check();
    refused.push_back(b.refused().size());
  }
  REQUIRE(refused == std::vector<std::size_t>{16, 16, 8});
  REQUIRE(b.d.totals().waiting == 0);
}

TEST_CASE("what a client that is gone was running is not run again when its node dies") {
  bench b;
  const auto a = b.join(1);
  b.submit(1);
  b.placed();
  b.d.disconnect(b.client, b.now);
  b.d.lose(a, "killed", b.now);
  b.d.check();
  b.join(1);
  REQUIRE(b.placed().empty());
}

TEST_CASE("a request that is taken back is answered CANCELLED, once") {
  bench b;
  const auto a = b.join(1);
  b.submit(1);
  b.submit(2);
  b.placed();
  b.d.cancel(b.client, 2, b.now);
  b.d.cancel(b.client, 2, b.now);
  b.d.check();
  REQUIRE(b.refused() == refusals{{2, error_code::cancelled}});
  b.d.cancel(b.client, 1, b.now);
  REQUIRE(b.refused() == refusals{{1, error_code::cancelled}});
  REQUIRE(b.d.pending().withdraw.size() == 1);
  REQUIRE(b.d.pending().withdraw[0].node == a);
}

TEST_CASE("a full queue answers BUSY with a time to come back") {
  dispatch_settings with;
  with.queue = 5;
  bench b{with};
  b.join(1);
  for (std::uint64_t id = 1; id <= 7; ++id) b.submit(id);
  REQUIRE(b.refused() == refusals{{7, error_code::busy}});
  REQUIRE(b.retry_after_ms >= 20);
}

TEST_CASE("memory for requests is bounded: BUSY beyond, and room again as answers come") {
  dispatch_settings with;
  with.memory = 100'000;
  bench b{with};
  b.join(1);
  for (std::uint64_t id = 1; id <= 20; ++id) b.submit(id, {}, {}, 10'000);
  REQUIRE(b.refused().size() == 11);
  REQUIRE(b.d.totals().held_bytes <= with.memory);
  b.placed();
  b.complete(1);
  b.submit(21, {}, {}, 10'000);
  REQUIRE(b.refused().empty());
}

TEST_CASE("a client with more than its share is not read from until half of it is answered") {
  dispatch_settings with;
  with.connection_memory = 100'000;
  bench b{with};
  b.join(1);
  for (std::uint64_t id = 1; id <= 10; ++id) b.submit(id, {}, {}, 10'000);
  REQUIRE(b.d.paused(b.client));
  REQUIRE(b.d.pending().reading.size() == 1);
  for (std::uint64_t id = 1; id <= 6; ++id) {
    REQUIRE(b.d.paused(b.client));
    b.placed();
    b.complete(id, 1s);
  }
  REQUIRE_FALSE(b.d.paused(b.client));
  REQUIRE(b.d.pending().reading.size() == 2);
}

TEST_CASE("a node that drains gets no new work and keeps what it has") {
  bench b;
  const auto a = b.join(2);
  b.submit(1);
  b.placed();
  b.d.retire(a, b.now);
  b.submit(2);
  REQUIRE(b.placed().empty());
  REQUIRE(b.complete(1));
  const auto c = b.join(1);
  REQUIRE(b.placed() == placements{{c, 2}});
}

TEST_CASE(
    "a service that fails everywhere is answered at once, and runs again when it works again") {
  bench b;
  const auto a = b.join(1);
  b.submit(1);
  b.submit(2);
  b.placed();
  b.d.set_failing(a, 0, true, b.now);
  b.d.check();
  REQUIRE(b.refused() == refusals{{2, error_code::worker_lost}});
  b.crash(1); // what ran there when it began to fail
  REQUIRE(b.refused() == refusals{{1, error_code::worker_lost}});
  b.submit(3);
  REQUIRE(b.refused() == refusals{{3, error_code::worker_lost}});
  b.d.set_failing(a, 0, false, b.now);
  b.submit(4);
  REQUIRE(b.placed() == placements{{a, 4}});
}

TEST_CASE("one failing node does not stop a service that another runs") {
  bench b;
  const auto a = b.join(1);
  const auto c = b.join(1);
  b.d.set_failing(a, 0, true, b.now);
  for (std::uint64_t id = 1; id <= 3; ++id) b.submit(id);
  REQUIRE(b.placed() == placements{{c, 1}});
  REQUIRE(b.refused().empty());
}

TEST_CASE("services do not wait for each other") {
  bench b;
  const auto a = b.d.join({{"slow", 1}, {"quick", 1}}, b.now);
  for (std::uint64_t id = 1; id <= 10; ++id) b.submit(id, {}, {}, 8, "slow");
  b.submit(11, {}, {}, 8, "quick");
  REQUIRE(b.placed() == placements{{a, 1}, {a, 11}});
}

TEST_CASE("whatever happens in whatever order, every request gets exactly one answer") {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    std::mt19937_64 random{seed};
    dispatch_settings with;
    with.queue = 50;
    with.connection_memory = 20'000;
    dispatcher d{with, instant{}, seed};
    instant now{};
    struct running {
      node_number node;
      token request;
      std::uint32_t fence;
    };
    std::map<std::pair<connection_id, std::uint64_t>, int> answers; // of live clients' requests
    std::vector<connection_id> clients{d.connect(), d.connect()};
    std::vector<node_number> nodes{d.join({{"a", 2}, {"b", 1}}, now)};
    std::vector<running> work;
    std::uint64_t next_id = 1;
    auto carry_out = [&] {
      auto& todo = d.pending();
      if (random() % 3 > 0) // else the turn is not over yet
        d.take_placed([&](node_number node, token which, const request& r, std::uint16_t) {
          work.push_back({node, which, r.fence});
        });
      for (const auto& r : todo.refuse) ++answers.at({r.connection, r.request_id});
      todo = {};
    };
    for (int step = 0; step < 3000; ++step) {
      now += milliseconds{random() % 20};
      const auto dice = random() % 100;
      if (dice < 40) {
        submission what;
        what.connection = clients[random() % clients.size()];
        what.request_id = next_id++;
        what.service = *d.find_service(random() % 2 ? "a" : "b");
        what.payload = shared_bytes::copy_of(std::string(random() % 1000, 'x'));
        if (random() % 4 == 0) what.timeout = milliseconds{random() % 300};
        if (random() % 4 == 0) what.attempts = static_cast<std::uint8_t>(1 + random() % 3);
        answers[{what.connection, what.request_id}] = 0;
        d.submit(what, now);
      } else if (dice < 85 && !work.empty()) {
        const auto i = random() % work.size();
        const auto w = work[i];
        if (random() % 5 > 0)
          work.erase(work.begin() + static_cast<std::ptrdiff_t>(i)); // else: it will answer again
        if (dice < 75) {
          if (const auto whom =
                  d.complete(w.node, w.request, w.fence, microseconds{random() % 5000}, now);
              whom && whom->connection.valid())
            ++answers.at({whom->connection, whom->request_id});
        } else if (dice < 80) {
          d.crash(w.node, w.request, w.fence, "crashed", now);
        } else {
          d.give_back(w.node, w.request, w.fence, now);
        }
      } else if (dice < 88) {
        nodes.push_back(
            d.join({{"a", 1 + static_cast<std::uint32_t>(random() % 3)}, {"b", 1}}, now));
      } else if (dice < 91 && nodes.size() > 1) {
        const auto i = random() % nodes.size();
        d.lose(nodes[i], "lost", now);
        nodes.erase(nodes.begin() + static_cast<std::ptrdiff_t>(i));
      } else if (dice < 93) {
        const auto i = random() % clients.size();
        d.disconnect(clients[i], now);
        std::erase_if(answers, [&](const auto& a) { return a.first.first == clients[i]; });
        carry_out();
        clients[i] = d.connect();
      } else if (dice < 95) {
        d.set_failing(nodes[random() % nodes.size()], static_cast<std::uint32_t>(random() % 2),
                      random() % 3 == 0, now);
      } else {
        d.advance(now);
      }
      carry_out();
      d.check();
      for (const auto& [who, count] : answers) REQUIRE(count <= 1);
    }
    d.advance(now + 1h);
    carry_out();
    d.check();
    for (const auto& [who, count] : answers) REQUIRE(count == 1);
    REQUIRE(d.totals().held_bytes == 0);
  }
}

// -- order, priority, fairness --------------------------------------------------------------------

namespace {

// Submits as somebody; what it says besides the id is set by `with`.
void submit_as(bench& b, connection_id who, std::uint64_t id,
               const std::function<void(submission&)>& with = {}) {
  submission what;
  what.connection = who;
  what.request_id = id;
  what.service = *b.d.find_service("svc");
  what.payload = shared_bytes::copy_of("x");
  if (with) with(what);
  b.d.submit(what, b.now);
  b.d.check();
}

void submit_with_key(bench& b, std::uint64_t id, std::string_view key) {
  submit_as(b, b.client, id, [&](submission& s) { s.key = key; });
}

// The ids of what is placed next, one at a time.
std::vector<std::uint64_t> one_by_one(bench& b) {
  std::vector<std::uint64_t> result;
  for (auto next = b.placed(); !next.empty(); next = b.placed()) {
    REQUIRE(next.size() == 1);
    result.push_back(next.front().second);
    b.complete(next.front().second);
  }
  return result;
}

} // namespace

TEST_CASE("requests with the same ordering key run one after the other, others beside them") {
  bench b;
  b.join(8);
  submit_with_key(b, 1, "a");
  submit_with_key(b, 2, "a");
  submit_with_key(b, 3, "b");
  submit_with_key(b, 4, "a");
  b.submit(5);
  auto ids = [&b] {
    std::vector<std::uint64_t> result;
    for (const auto& p : b.placed()) result.push_back(p.second);
    return result;
  };
  REQUIRE(ids() == std::vector<std::uint64_t>{1, 3, 5});
  b.complete(1);
  REQUIRE(ids() == std::vector<std::uint64_t>{2});
  b.d.cancel(b.client, 2, b.now); // its client takes it back, but it runs: the key is not free yet
  b.d.check();
  REQUIRE(ids().empty());
  b.complete(2);
  REQUIRE(ids() == std::vector<std::uint64_t>{4});
}

TEST_CASE("a key is kept through the loss of a worker, and given on when its request is given up") {
  bench b;
  const auto first = b.join(4);
  b.submit(9, 1);
  submit_with_key(b, 1, "a");
  submit_with_key(b, 2, "a");
  b.placed();
  b.join(4);
  b.d.lose(first, "gone", b.now);
  b.d.check();
  auto placed = b.placed();
  REQUIRE(placed.size() == 1);
  REQUIRE(placed.front().second == 1); // again, and still before 2
  b.crash(1);
  b.crash(1);
  REQUIRE(b.refused() == refusals{{9, error_code::worker_lost}, {1, error_code::worker_lost}});
  REQUIRE(b.last.contains(2));
}

TEST_CASE("a request that waits behind its key has a deadline, and can be taken back") {
  bench b;
  b.join(1);
  submit_with_key(b, 1, "a");
  submit_as(b, b.client, 2, [](submission& s) { s.key = "a", s.timeout = 50ms; });
  submit_with_key(b, 3, "a");
  b.placed();
  b.d.cancel(b.client, 3, b.now);
  b.now += 100ms;
  b.d.advance(b.now);
  b.d.check();
  REQUIRE(b.refused() == refusals{{3, error_code::cancelled}, {2, error_code::timeout}});
  b.complete(1);
  REQUIRE(b.d.totals().waiting == 0);
}

TEST_CASE("of high, normal and low that wait, sixteen, four and one go: none starves") {
  bench b;
  b.join(1);
  b.submit(1000);
  b.placed();
  for (std::uint64_t i = 0; i < 300; ++i)
    submit_as(b, b.client, i + 1,
              [i](submission& s) { s.priority = priority{std::uint8_t(i % 3)}; });
  b.complete(1000);
  std::map<std::uint64_t, int> first; // by priority, of the first 105
  int count = 0;
  for (const auto id : one_by_one(b))
    if (count++ < 105) ++first[(id - 1) % 3];
  REQUIRE(count == 300);
  REQUIRE(first[2] == 80);
  REQUIRE(first[1] == 20);
  REQUIRE(first[0] == 5);
}

TEST_CASE("connections take turns: one request does not wait behind another client's thousand") {
  bench b;
  b.join(1);
  const auto other = b.d.connect();
  for (std::uint64_t i = 1; i <= 1000; ++i) b.submit(i);
  submit_as(b, other, 2001);
  submit_as(b, other, 2002);
  b.placed();
  b.complete(1);
  auto next = [&b] {
    const auto id = b.placed().at(0).second;
    const auto& l = b.last.at(id);
    b.d.complete(l.node, l.request, l.fence, 1s, b.now);
    return id;
  };
  std::vector<std::uint64_t> ids{next(), next(), next(), next(), next()};
  REQUIRE(std::count(ids.begin(), ids.end(), 2001) == 1);
  REQUIRE(std::count(ids.begin(), ids.end(), 2002) == 1);
}

TEST_CASE("an id that is in flight on its connection is refused, the first one goes on") {
  bench b;
  b.join(1);
  b.submit(7);
  b.submit(7);
  REQUIRE(b.refused() == refusals{{7, error_code::bad_request}});
  b.placed();
  REQUIRE(b.complete(7));
  b.submit(7); // answered: it may be used again
  REQUIRE(b.placed().size() == 1);
  const auto other = b.d.connect();
  submit_as(b, other, 7); // another connection's ids are its own
  REQUIRE(b.refused().empty());
}

TEST_CASE("a service has a share of the broker's memory") {
  dispatch_settings with;
  with.service_memory = 10'000;
  bench b{with};
  b.join(1);
  b.join(1, "other");
  for (std::uint64_t id = 1; id <= 4; ++id) b.submit(id, {}, {}, 3000);
  REQUIRE(b.refused() == refusals{{4, error_code::busy}});
  REQUIRE(b.detail.find("share") != std::string::npos);
  b.submit(5, {}, {}, 3000, "other");
  REQUIRE(b.refused().empty());
}

TEST_CASE("retries after crashes are a share of the load, a lost node's are made good at once") {
  bench b;
  const auto big = b.join(500);
  for (std::uint64_t id = 1; id <= 500; ++id) b.submit(id, 100);
  b.placed();
  b.join(500);
  b.d.lose(big, "gone", b.now);
  b.d.check();
  REQUIRE(b.placed().size() == 500); // as many as were lost, without delay

  // From now on everything crashes: what may be started again is a fifth of nothing, ten a second
  // and what was saved up.
  std::size_t again = 0;
  for (int second = 0; second < 10; ++second) {
    for (std::uint64_t id = 1; id <= 500; ++id) {
      const auto& l = b.last.at(id);
      b.d.crash(l.node, l.request, l.fence, "signal 11", b.now);
    }
    b.d.check();
    b.now += 1s;
    b.d.advance(b.now);
    again += b.placed().size();
  }
  REQUIRE(again <= 100 + 100 + 100);
  REQUIRE(again >= 90);
  b.now += 5min;
  b.d.advance(b.now);
  b.d.check();
  REQUIRE(b.d.totals().waiting == 0); // none of it was forgotten
}

// -- whoever runs the broker ----------------------------------------------------------------------

TEST_CASE("a node that somebody drains finishes what it has, and gets nothing until it is let") {
  bench b;
  const auto left = b.join(1);
  b.submit(1);
  REQUIRE(b.placed() == placements{{left, 1}});
  b.d.set_drained(left, true, b.now);
  b.d.check();
  CHECK(b.d.view(left).drained);
  b.submit(2);
  CHECK(b.complete(1));
  CHECK(b.placed().empty());
  const auto right = b.join(1);
  CHECK(b.placed() == placements{{right, 2}});
  b.submit(3);
  CHECK(b.placed().empty());
  b.d.set_drained(left, false, b.now);
  CHECK_FALSE(b.d.view(left).drained);
  CHECK(b.placed() == placements{{left, 3}});
}

TEST_CASE("what was placed with a node that is drained and has not left goes elsewhere") {
  bench b;
  const auto left = b.join(1);
  b.submit(1);
  b.d.set_drained(left, true, b.now);
  b.d.check();
  CHECK(b.placed().empty());
  const auto right = b.join(1);
  CHECK(b.placed() == placements{{right, 1}});
}

TEST_CASE("a node that drains by itself gets nothing, whatever somebody lets it") {
  bench b;
  const auto node = b.join(1);
  b.d.set_drained(node, true, b.now);
  b.d.retire(node, b.now);
  b.d.set_drained(node, false, b.now);
  b.submit(1);
  CHECK(b.placed().empty());
  b.d.set_drained(99, true, b.now); // nobody
  b.d.check();
}

TEST_CASE("requests for a paused service wait, what runs is finished, and all goes on in order") {
  bench b;
  const auto node = b.join(2);
  b.submit(1);
  b.submit(2);
  REQUIRE(b.placed().size() == 2);
  const auto service = *b.d.find_service("svc");
  b.d.set_paused(service, true, b.now);
  b.d.check();
  CHECK(b.d.services(b.now)[0].state.paused);
  CHECK(b.complete(1));
  b.submit(3);
  b.submit(4);
  CHECK(b.placed().empty());
  CHECK(b.d.services(b.now)[0].state.waiting == 2);
  const auto late = b.join(2); // nor does who comes later
  CHECK(b.placed().empty());
  b.d.set_paused(service, false, b.now);
  const auto order = b.placed();
  REQUIRE(order.size() == 2);
  CHECK(order[0].second == 3);
  CHECK(order[1].second == 4);
  CHECK((order[0].first == node || order[0].first == late));
  CHECK_FALSE(b.d.services(b.now)[0].state.paused);
}

TEST_CASE("a request that waited for a paused service until its deadline is answered so") {
  bench b;
  b.join(1);
  b.join(1, "other");
  b.submit(1, {}, 1s);
  REQUIRE(b.placed().size() == 1);
  b.d.set_paused(*b.d.find_service("svc"), true, b.now);
  b.submit(2, {}, 1s);
  b.submit(3, {}, 1s, 8, "other");
  CHECK(b.placed().size() == 1); // of the other one, which goes on
  b.now += 1100ms;
  b.d.advance(b.now);
  for (const auto& r : b.d.pending().refuse) {
    CHECK(r.code == error_code::timeout);
    CHECK((r.detail.find("is paused") != std::string::npos) == (r.request_id == 2));
  }
  CHECK(b.refused().size() == 3);
}

TEST_CASE("what waits for a paused service, or elsewhere than a drained node, is no work for it") {
  bench b;
  const auto left = b.join(1);
  const auto right = b.join(1);
  for (std::uint64_t id = 1; id <= 9; ++id) b.submit(id);
  (void)b.placed();
  const auto waiting = b.d.waiting_for_slot("svc", left);
  CHECK(waiting > 0);
  b.d.set_drained(left, true, b.now);
  CHECK(b.d.waiting_for_slot("svc", left) == 0);
  CHECK(b.d.waiting_for_slot("svc", right) == waiting);
  b.d.set_drained(left, false, b.now);
  b.d.set_paused(*b.d.find_service("svc"), true, b.now);
  CHECK(b.d.waiting_for_slot("svc", right) == 0);
  CHECK(b.d.waiting_for_slot("other", right) == 0);
}

TEST_CASE("what a burst has left of tables goes, and what was named then is nobody's after") {
  constexpr std::uint64_t many = 20'000;
  dispatch_settings wide;
  wide.connection_requests = many;
  wide.node_prefetch = many;
  bench b{wide};
  const auto node = b.join(limits::max_slots);
  const auto run = [&](std::uint64_t count) {
    std::vector<std::pair<token, std::uint32_t>> named;
    submission what;
    what.connection = b.client;
    what.service = *b.d.find_service("svc");
    what.payload = shared_bytes::copy_of("x");
    for (what.request_id = 1; what.request_id <= count; ++what.request_id) b.d.submit(what, b.now);
    for (std::uint64_t done = 0; done < count;) {
      const auto begin = named.size();
      b.d.take_placed([&](node_number, token which, const request& r, std::uint16_t) {
        named.emplace_back(which, r.fence);
      });
      REQUIRE(named.size() > begin);
      for (auto i = begin; i < named.size(); ++i, ++done)
        REQUIRE(b.d.complete(node, named[i].first, named[i].second, 1ms, b.now));
    }
    b.d.check();
    return named;
  };
  const auto burst = run(many);
  b.d.release_memory();
  CHECK(b.d.records() > 0); // it has just been busy
  b.d.release_memory();
  CHECK(b.d.records() == 0);
  b.d.check();
  for (const auto& [which, fence] : burst)
    REQUIRE_FALSE(b.d.complete(node, which, fence, 1ms, b.now));
  std::set<token> before;
  for (const auto& one : burst) before.insert(one.first);
  for (const auto& one : run(100)) REQUIRE_FALSE(before.contains(one.first));
  b.submit(1);
  b.d.release_memory();
  b.d.release_memory();
  CHECK(b.placed().size() == 1); // one is there: all stays
  CHECK(b.complete(1));
}

TEST_CASE("a request that waited for nodes that are all drained is answered so") {
  bench b;
  const auto left = b.join(1);
  const auto right = b.join(1);
  b.d.set_drained(left, true, b.now);
  b.submit(1, {}, 1s);
  REQUIRE(b.placed() == placements{{right, 1}});
  b.submit(2, {}, 1s); // the other's, though it has no room
  b.now += 500ms;
  b.d.set_drained(right, true, b.now);
  b.submit(3, {}, 1s);
  b.now += 1100ms;
  b.d.advance(b.now);
  REQUIRE(b.d.pending().refuse.size() == 3);
  for (const auto& r : b.d.pending().refuse)
    CHECK((r.detail.find("drains every node") != std::string::npos) == (r.request_id != 1));
  CHECK(b.refused().size() == 3);
}

TEST_CASE("a crash while its service is paused is run again when it goes on") {
  bench b;
  b.join(1);
  b.submit(1);
  b.placed();
  const auto service = *b.d.find_service("svc");
  b.d.set_paused(service, true, b.now);
  b.crash(1);
  CHECK(b.placed().empty());
  b.d.set_paused(service, false, b.now);
  CHECK(b.placed().size() == 1);
  CHECK(b.last.at(1).attempt == 2);
}

TEST_CASE("the load is the sum of all services, and what clients took back is no error") {
  bench b;
  b.join(2);
  b.join(1, "other");
  b.submit(1);
  b.submit(2, {}, {}, 8, "other");
  b.submit(3, {}, {}, 8, "other");
  b.placed();
  b.now += 3ms;
  CHECK(b.complete(1, 1ms));
  CHECK(b.complete(2, 1ms));
  b.placed();
  auto load = b.d.load();
  CHECK(load.answered == 2);
  CHECK(load.errors == 0);
  CHECK(load.in_flight == 1);
  CHECK(load.waiting == 0);
  CHECK(load.total.count() == 2);
  b.d.cancel(b.client, 3, b.now);
  CHECK(b.d.load().errors == 0);
  b.submit(4, {}, 0ms);
  CHECK(b.d.load().errors == 1);
}
