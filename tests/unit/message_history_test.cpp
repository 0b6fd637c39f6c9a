#include "actors/dispatch/dispatcher.hpp"
#include "net/protocol/frame.hpp"
#include "tests/catch.hpp"

#include <map>

using namespace ropewalk;
using namespace std::chrono_literals;

/// What a dispatcher remembers of its messages, and says of those that wait.

namespace {

using asked = message_query::about;

const std::string traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

// A dispatcher with a client, in a time that the test moves.
struct world {
  explicit world(const dispatch_settings& with = {}) : d(with, instant{}, 1) {
    client = d.connect(std::make_shared<const std::string>("192.0.2.7"));
  }

  node_number join(std::uint32_t slots, std::string_view name) {
    const auto node = d.join({{"svc", slots}}, now, name);
    take();
    return node;
  }

  void submit(std::uint64_t id, std::string_view key = {}, const handler_fields* fields = nullptr) {
    submission what;
    what.connection = client;
    what.request_id = id;
    what.service = d.service_named("svc");
    what.payload = shared_bytes::copy_of("x");
    what.key = key;
    what.fields = fields;
    d.submit(what, now);
    take();
    d.check();
  }

  void take() {
    d.take_placed([&](node_number node, token which, const request& r, std::uint16_t) {
      at[r.client_id] = {node, which, r.fence};
    });
  }

  void complete(std::uint64_t id, microseconds ran = 1ms, error_code code = error_code::ok,
                std::string_view text = {}) {
    const auto& [node, which, fence] = at.at(id);
    if (code != error_code::ok) d.note_error(node, which, fence, {ran, 2}, code, text, now);
    REQUIRE(d.complete(node, which, fence, ran, now, {1, code, 2}));
    take();
    d.check();
  }

  // From coming in to its answer.
  void run(std::uint64_t id, std::chrono::nanoseconds time) {
    submit(id);
    now += time;
    complete(id, 1us);
  }

  std::vector<message_report> ask(asked what, std::uint32_t limit = 1000) {
    message_query query;
    query.what = what;
    query.limit = limit;
    return d.messages(query, now);
  }

  std::vector<message_report> ask(std::uint64_t id) {
    message_query query;
    query.what = asked::one;
    query.id = message_id{0, client.index, client.generation, id};
    return d.messages(query, now);
  }

  struct place {
    node_number node;
    token request;
    std::uint32_t fence;
  };

  dispatcher d;
  connection_id client;
  instant now{1h};
  std::map<std::uint64_t, place> at;
};

std::vector<std::uint64_t> ids_of(const std::vector<message_report>& all) {
  std::vector<std::uint64_t> result;
  for (const auto& one : all) result.push_back(one.id.request);
  return result;
}

} // namespace

TEST_CASE("a message that lost a worker is kept with every attempt, and so is one that failed") {
  world w;
  w.join(1, "left");
  w.join(1, "right");
  w.submit(1);
  const auto first = w.at.at(1);
  w.now += 100ms;
  w.d.crash(first.node, first.request, first.fence, "killed by signal 11", w.now, {70ms, 1});
  w.take();
  w.now += 200ms;
  w.complete(1, 150ms);
  w.submit(2);
  w.now += 5ms;
  w.complete(2, 5ms, error_code::failed, "exit status 3: no such picture");

  const auto failed = w.ask(asked::failed);
  REQUIRE(ids_of(failed) == std::vector<std::uint64_t>{2, 1}); // the last one first
  const auto& retried = failed[1];
  CHECK(retried.code == error_code::ok);
  CHECK(retried.service == "svc");
  CHECK(*retried.address == "192.0.2.7");
  CHECK(retried.took == 300ms);
  CHECK(retried.kept == kept_for::failure);
  REQUIRE(retried.attempts.size() == 2);
  const auto& lost = retried.attempts[0];
  const auto& won = retried.attempts[1];
  CHECK((lost.end == attempt_end::crashed && lost.number == 1 && lost.slot == 1));
  CHECK(*lost.why == "killed by signal 11");
  CHECK((lost.placed == 0us && lost.ended == 100ms && lost.ran == 70ms));
  CHECK((won.end == attempt_end::answered && won.number == 2 && won.slot == 2));
  CHECK((won.placed == 100ms && won.ended == 300ms && won.ran == 150ms));
  CHECK((*lost.node == "left" || *lost.node == "right"));
  CHECK((*won.node == "left" || *won.node == "right"));
  CHECK(failed[0].code == error_code::failed);
  CHECK(*failed[0].detail == "exit status 3: no such picture");
  CHECK(w.ask(2).size() == 1);
  CHECK(w.ask(3).empty());
}

TEST_CASE("how every kind of attempt ended is kept, and who took a message back") {
  world w;
  w.join(1, "left");
  const auto right = w.join(1, "right");
  w.submit(1);
  w.submit(2);
  const auto on_right = w.at.at(1).node == right ? 1u : 2u;
  const auto other = 3 - on_right;
  w.d.lose(right, "node right is gone (killed)", w.now);
  w.take();
  const auto& l = w.at.at(other);
  w.d.interrupt(l.node, l.request, l.fence, "the node was told to leave", w.now);
  w.now += 1s;
  w.d.advance(w.now); // it is given work again
  w.take();
  w.d.cancel(w.client, on_right, w.now);
  w.submit(3);
  w.d.disconnect(w.client, w.now);

  const auto one = w.ask(on_right);
  REQUIRE(one.size() == 1);
  CHECK(one[0].code == error_code::cancelled);
  REQUIRE_FALSE(one[0].attempts.empty());
  CHECK(one[0].attempts[0].end == attempt_end::node_lost);
  CHECK(*one[0].attempts[0].node == "right");
  CHECK(*one[0].attempts[0].why == "node right is gone (killed)");
  const auto two = w.ask(other);
  REQUIRE(two.size() == 1);
  CHECK(two[0].attempts[0].end == attempt_end::interrupted);
  CHECK(*two[0].detail == "its client has gone away");
  REQUIRE(w.ask(3).size() == 1);
  CHECK(w.ask(3)[0].kept == kept_for::sample); // clients that go take thousands along
}

TEST_CASE("of the others the slowest five of every minute are kept, and one a second") {
  world w;
  w.join(1, "left");
  std::uint64_t id = 0;
  for (; id < 5; ++id) w.run(id + 1, 10ms); // the first are the slowest so far
  for (; id < 3000; ++id) w.run(id + 1, 1ms);
  for (; id < 3008; ++id) w.run(id + 1, 20ms + id * 1us);
  CHECK(ids_of(w.ask(asked::slow)) == std::vector<std::uint64_t>{3008, 3007, 3006, 3005, 3004});
  const auto all = w.ask(asked::recent);
  CHECK(all.size() >= 5 + 2); // three seconds have gone by
  CHECK(all.size() <= 5 + 5);
  w.now += 61s;
  w.run(4000, 1ms);
  w.now += 1s;
  for (id = 4001; id < 4008; ++id) w.run(id, 1ms + id * 1us);
  CHECK(ids_of(w.ask(asked::slow)).size() == 10); // another minute
  CHECK(w.ask(asked::failed).empty());
}

TEST_CASE("what is refused at once is kept ten times a second, so that it does not wash away the "
          "rest") {
  dispatch_settings with;
  with.queue = 1;
  world w{with};
  w.submit(1); // waits: there is no node
  for (std::uint64_t id = 2; id < 5000; ++id) w.submit(id);
  CHECK(w.ask(asked::failed).size() == message_history::refusals_a_second);
  w.now += 1s;
  w.submit(6000);
  const auto failed = w.ask(asked::failed);
  CHECK(failed.size() == message_history::refusals_a_second + 1);
  CHECK(failed[0].code == error_code::busy);
  CHECK(*failed[0].detail == "this service's queue is full");
  CHECK(failed[0].attempts.empty());
}

TEST_CASE("the history keeps to its memory, is quick to look through, and may be switched off") {
  dispatch_settings with;
  with.history_memory = 16 * limits::mib;
  world w{with};
  w.join(1, "left");
  for (std::uint64_t id = 1; id <= 60'000; ++id) {
    w.submit(id);
    w.now += 1ms;
    w.complete(id, 1ms, error_code::failed, "exit status " + std::to_string(id));
  }
  CHECK(w.ask(1).empty());
  CHECK(w.ask(60'000).size() == 1);
  const auto begin = std::chrono::steady_clock::now();
  CHECK(w.ask(asked::recent).size() == 1000);
  CHECK(w.ask(1).empty());
  CHECK(std::chrono::steady_clock::now() - begin < 50ms);

  with.history_memory = 0;
  world off{with};
  off.join(1, "left");
  off.run(1, 1s);
  off.submit(2);
  off.complete(2, 1ms, error_code::failed, "x");
  CHECK(off.ask(asked::recent).empty());
}

TEST_CASE("attempts that are given back again and again are kept in part") {
  world w;
  const auto node = w.join(1, "left");
  w.submit(1);
  for (int i = 0; i < 100; ++i) {
    const auto& l = w.at.at(1);
    w.d.give_back(node, l.request, l.fence, w.now);
    w.now += 200ms;
    w.d.advance(w.now);
    w.take();
  }
  const auto open = w.ask(1);
  REQUIRE(open.size() == 1);
  CHECK(open[0].attempts.size() == message_history::max_attempts + 1); // and the one that is open
  CHECK(open[0].left_out == 100 - message_history::max_attempts);
  CHECK(open[0].attempts[0].ended == 0us); // the first one says how it began
  CHECK(open[0].attempts.back().end == attempt_end::open);
  w.complete(1);
  const auto ended = w.ask(1);
  REQUIRE(ended.size() == 1);
  CHECK(ended[0].kept != kept_for::failure); // nothing was lost
}

TEST_CASE("of what waits it is said why") {
  world w;
  w.submit(1);
  CHECK(w.ask(1)[0].waits == "no node offers it yet; it is the next");
  const auto node = w.join(2, "left");
  for (std::uint64_t id = 2; id <= 20'000; ++id) w.submit(id);
  const auto with_node = w.at.size();
  CHECK(w.ask(1)[0].waits == "node left runs it");
  w.d.set_slots(node, 0, 1, w.now);
  CHECK(w.ask(2)[0].waits == "node left has it, behind 1 other, for 1 slot");
  w.d.set_slots(node, 0, 2, w.now);
  CHECK(w.ask(with_node + 1)[0].waits == "2 slots of this service, all busy; it is the next");
  CHECK(w.ask(with_node + 42)[0].waits == "2 slots of this service, all busy; 41 before it");
  CHECK(w.ask(with_node + 42)[0].before == 41u);
  CHECK(w.ask(20'000)[0].before == service_queue::max_walk);
  w.d.set_drained(node, true, w.now);
  CHECK(w.ask(with_node + 42)[0].waits ==
        "2 slots of this service, all busy; 1 node drains; 41 before it");
  w.d.set_drained(node, false, w.now);
  w.d.set_paused(0, true, w.now);
  CHECK(w.ask(with_node + 42)[0].waits ==
        "its service is paused by who runs the broker; 41 before it");
  w.d.set_paused(0, false, w.now);
  const auto oldest = w.ask(asked::open, 3);
  CHECK(oldest.size() == 3);
  CHECK_FALSE(oldest[0].ended);
  w.now += 12s;
  w.d.lose(node, "gone", w.now);
  w.now += 3400ms;
  CHECK(
      w.ask(with_node + 42)[0].waits.starts_with("no node offers it; the last one left 3.4 s ago"));
}

TEST_CASE("what waits behind its key is shown who holds that") {
  world w;
  w.join(4, "left");
  w.submit(1, "k");
  w.now += 1500ms;
  w.submit(2, "k");
  w.submit(3, "k");
  CHECK(w.ask(3)[0].waits ==
        "its key is held by request 0.0.0-1, which came 1.5 s ago and is with node left; 1 before "
        "it");
  w.complete(1);
  CHECK(w.ask(3)[0].waits ==
        "its key is held by request 0.0.0-2, which came 0 ms ago and is with node left; it is the "
        "next");
}

TEST_CASE("all messages of a trace are found, under way and ended") {
  world w;
  w.join(1, "left");
  field_writer said;
  said.text(field::trace, traceparent).text(field::client, "alice");
  const auto context = *read_traceparent(traceparent);
  const handler_fields fields{shared_bytes::copy_of(said.bytes()), tag_of(context.trace), true};
  w.submit(1, {}, &fields);
  w.complete(1, 1ms, error_code::failed, "no");
  w.submit(2);
  w.submit(3, {}, &fields);
  message_query query;
  query.what = asked::one;
  query.trace = context.trace;
  const auto found = w.d.messages(query, w.now);
  REQUIRE(found.size() == 2);
  for (const auto& one : found) {
    CHECK(one.id.request != 2);
    CHECK(one.client == "alice");
    REQUIRE(one.trace);
    CHECK(one.trace->text() == traceparent);
  }
  query.who = "bob";
  CHECK(w.d.messages(query, w.now).empty());
  query.who = "alice";
  CHECK(w.d.messages(query, w.now).size() == 2);
  w.complete(2);
  w.complete(3, 1us);
  for (std::uint64_t id = 10; id < 20; ++id) w.run(id, 1ms);
  w.submit(4, {}, &fields); // none of the slowest, nor a sample: but its trace is sampled
  w.complete(4, 1us);
  w.submit(5);
  w.complete(5, 1us);
  query.who.reset();
  CHECK(w.d.messages(query, w.now).size() == 3);
  CHECK(w.ask(5).empty());
}
