#include "actors/broker/sessions/visible_report.hpp"
#include "tests/unit/broker_by_hand.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace ropewalk;
using namespace std::chrono_literals;

TEST_CASE("a session's states follow each other as its life does") {
  using enum session_state;
  CHECK(may_follow(open, half_closed));
  CHECK(may_follow(open, closing));
  CHECK(may_follow(half_closed, closing));
  CHECK(may_follow(half_closed, leaving));
  CHECK(may_follow(closing, leaving));
  for (const auto from : {open, half_closed, closing, leaving}) {
    CHECK_FALSE(may_follow(from, open));
    CHECK_FALSE(may_follow(from, from));
    CHECK_FALSE(may_follow(leaving, from));
  }
  CHECK_FALSE(may_follow(closing, half_closed));
  CHECK_FALSE(may_follow(open, leaving));
}

TEST_CASE("who does not take his answers is not read from until he has taken half of them") {
  broker_tuning limits;
  limits.unread_answers = 100'000;
  broker_by_hand b{limits};
  b.add_node("echo", 10);
  const auto c = b.connect();
  c->takes(0);
  c->asks(1, "echo");
  b.read(c);
  b.answer_next(std::string(90'000, 'a'));
  CHECK(c->is_read());
  c->asks(2, "echo");
  b.read(c);
  b.answer_next(std::string(20'000, 'b'));
  CHECK_FALSE(c->is_read());
  c->takes(50'000);
  b.pass(20ms);
  CHECK_FALSE(c->is_read()); // more than half is left
  c->takes(30'000);
  b.pass(20ms);
  CHECK(c->is_read());
  CHECK_FALSE(c->is_cut_off());
}

TEST_CASE(
    "who is slow while all have left much is read from again at half of what he may leave then") {
  broker_tuning limits;
  limits.unread_answers = 16 * limits::mib;
  limits.answers_memory = 8 * limits::mib;
  broker_by_hand b{limits};
  b.add_node("echo", 100);
  // One leaves a quarter of the memory; nobody may leave as much beside him.
  const auto first = b.connect();
  first->takes(0);
  first->asks(1, "echo");
  b.read(first);
  b.answer_next(std::string(6 * limits::mib, 'a'));
  const auto c = b.connect();
  c->takes(0);
  c->asks(1, "echo");
  b.read(c);
  b.answer_next(std::string(800'000, 'b')); // the share is about 300 kB
  CHECK_FALSE(c->is_read());
  c->takes(400'000);
  b.pass(20ms);
  CHECK_FALSE(c->is_read()); // far under half of --unread-answers, and over half of the share
  c->takes(350'000);
  b.pass(20ms);
  CHECK(c->is_read());
}

TEST_CASE(
    "who takes nothing for the time for it is cut off, and who takes a byte now and then not") {
  broker_tuning limits;
  limits.unread_answers = 64 * 1024;
  limits.unread_answers_time = 5s;
  broker_by_hand b{limits};
  b.add_node("echo", 10);
  const auto idle = b.connect();
  const auto slow = b.connect();
  for (const auto& c : {idle, slow}) {
    c->takes(0);
    c->asks(1, "echo");
    b.read(c);
  }
  b.answer_next(std::string(200'000, 'a'));
  b.answer_next(std::string(200'000, 'a'));
  for (int i = 0; i < 4; ++i) {
    b.pass(1200ms);
    slow->takes(1);
  }
  CHECK_FALSE(idle->is_cut_off());
  b.pass(400ms);
  CHECK(idle->is_cut_off());
  CHECK_FALSE(slow->is_cut_off());
  CHECK(b.clients.size() == 1);
}

TEST_CASE("who has closed its half gets its answers, and is counted until the last byte is there") {
  broker_tuning limits;
  limits.unread_answers_time = 5s;
  broker_by_hand b{limits};
  b.add_node("echo", 1);
  const auto c = b.connect();
  c->asks(1, "echo");
  b.read(c);
  c->closes_its_half();
  b.read(c);
  CHECK_FALSE(c->is_closed());
  c->takes(10);
  b.answer_next(std::string(1000, 'a'));
  CHECK(c->is_finished());
  b.pass(4s);
  CHECK(b.clients.size() == 1);
  c->leaves_unacknowledged(500);
  c->takes(100'000);
  b.pass(1s);
  CHECK(b.clients.size() == 1);
  CHECK_FALSE(c->is_closed()); // all has left, and not all has arrived
  c->leaves_unacknowledged(0);
  b.pass(20ms);
  CHECK(c->is_closed());
  CHECK_FALSE(c->is_cut_off());
  CHECK(b.clients.size() == 0);
}

TEST_CASE("who has closed its half and takes nothing any more is cut off in time") {
  broker_tuning limits;
  limits.unread_answers_time = 5s;
  broker_by_hand b{limits};
  b.add_node("echo", 1);
  const auto c = b.connect();
  c->takes(0);
  c->asks(1, "echo");
  b.read(c);
  c->closes_its_half();
  b.read(c);
  b.answer_next("answer");
  b.pass(4900ms);
  CHECK_FALSE(c->is_cut_off());
  b.pass(200ms);
  CHECK(c->is_cut_off());
  CHECK(b.clients.size() == 0);
}

TEST_CASE("who is told its last word has two seconds to close, and what it says is thrown away") {
  broker_by_hand b;
  const auto polite = b.connect();
  const auto rude = b.connect();
  for (const auto& c : {polite, rude}) {
    c->says(frame_kind::reply, 1, "", "");
    b.read(c);
    CHECK(c->was_told("this kind of frame is for brokers to send"));
    CHECK(c->is_discarded());
    CHECK(c->is_finished());
  }
  polite->closes_its_half();
  b.read(polite);
  CHECK(polite->is_closed());
  b.pass(1900ms);
  CHECK_FALSE(rude->is_cut_off());
  b.pass(200ms);
  CHECK(rude->is_cut_off());
  CHECK_FALSE(polite->is_cut_off());
}

TEST_CASE("handshake, message and idleness have their times") {
  broker_tuning limits;
  limits.hello_time = 3s;
  limits.message_time = 10s;
  limits.idle_time = 60s;
  dispatch_settings work;
  work.timeout = 1h;
  broker_by_hand b{limits, {}, work};
  b.add_node("echo", 1);
  const auto stuck = b.connect();
  stuck->shakes_hands_for_ever();
  const auto half = b.connect();
  const auto busy = b.connect();
  const auto idle = b.connect();
  busy->asks(1, "echo");
  b.read(busy);
  half->says(std::string(10, '\0'));
  b.read(half);
  b.pass(2900ms);
  CHECK_FALSE(stuck->is_cut_off());
  b.pass(200ms);
  CHECK(stuck->is_cut_off());
  b.pass(7s);
  CHECK(half->was_told("the message was not complete within 10000 ms"));
  b.pass(50s);
  CHECK(idle->was_told("nothing was asked within 60000 ms"));
  CHECK_FALSE(busy->is_discarded()); // it waits for its answer
  CHECK(busy->told().empty());
}

TEST_CASE("a message that is not read from because the broker waits is not over its time") {
  broker_tuning limits;
  limits.message_time = 5s;
  dispatch_settings work;
  work.connection_requests = 1;
  work.timeout = 1h;
  broker_by_hand b{limits, {}, work};
  b.add_node("echo", 1);
  const auto c = b.connect();
  c->asks(1, "echo");
  b.read(c);
  c->asks(2, "echo");
  c->says(std::string(10, '\0')); // and the beginning of a third
  b.read(c);
  CHECK_FALSE(c->is_read());
  b.pass(20s);
  CHECK_FALSE(c->was_told("not complete"));
  b.answer_next("1");
  b.answer_next("2");
  CHECK(c->is_read());
  b.pass(7s);
  CHECK(c->was_told("the message was not complete within 5000 ms"));
}

TEST_CASE("text lines are answered in their order, and what is kept for it counts as unread") {
  broker_tuning limits;
  limits.unread_answers = 100'000;
  broker_by_hand b{limits};
  b.add_node("slow", 1);
  b.add_node("quick", 10);
  const auto c = b.connect();
  c->says("slow 1\nquick 2\nquick 3\n");
  b.read(c);
  REQUIRE(b.at_node() == 3);
  b.answer_next("not yet"); // of another node: refused
  b.answer_next(std::string(80'000, 'b'));
  CHECK(c->told().empty());
  CHECK(c->is_read());
  b.answer_next(std::string(80'000, 'c'));
  CHECK_FALSE(c->is_read());
  CHECK(c->told().empty());
}

TEST_CASE(
    "who asks for numbers waits nine times as long as the last answer took, and 100 ms at most") {
  broker_by_hand b;
  const auto [took, wait] =
      GENERATE(std::pair{1ms, 9ms}, std::pair{5ms, 45ms}, std::pair{900ms, 100ms});
  b.clients.status_took(took, b.now);
  const auto c = b.connect();
  c->says(frame_kind::status, 1, "", "");
  b.hear(c); // the turn is not over
  REQUIRE(b.clients.wants_status_round());
  CHECK_FALSE(b.clients.status_is_due(b.now + wait - 1us));
  CHECK(b.clients.status_is_due(b.now + wait));
}

TEST_CASE("STATUS is answered once for each time it was asked for, and before a half is closed") {
  broker_by_hand b;
  const auto c = b.connect();
  for (std::uint64_t id = 1; id <= 3; ++id) c->says(frame_kind::status, id, "", "");
  c->arrive();
  b.clients.read(b.id_of(c), b.now);
  c->closes_its_half(); // in the same turn
  b.read(c);
  std::size_t answers = 0;
  const std::string text = "\"uptime_seconds\"";
  for (auto at = c->told().find(text); at != std::string::npos; at = c->told().find(text, at + 1))
    ++answers;
  CHECK(answers == 3);
  CHECK(c->is_closed());
}

TEST_CASE("what is announced takes nobody's room, and what has come of a message does") {
  broker_tuning limits;
  limits.dispatch.memory = 1'000'000;
  broker_by_hand b{limits};
  b.add_node("echo", 100);
  std::vector<std::shared_ptr<fake_client>> announcing;
  for (int i = 0; i < 100; ++i) {
    const auto c = announcing.emplace_back(b.connect());
    std::vector<char> head;
    append_header(head, frame_kind::request, error_code::ok, 1, {}, 1'000'000);
    c->says({head.data(), head.size()});
    b.read(c);
  }
  const auto honest = b.connect();
  honest->asks(1, "echo", std::string(900'000, 'x'));
  b.read(honest);
  CHECK(b.at_node() == 1);
  b.answer_next("done");
  CHECK(honest->was_told("done"));
  // Lines without an end count as they come.
  const auto lines = b.connect();
  lines->says("echo " + std::string(600'000, 'x'));
  b.read(lines);
  CHECK(lines->told().empty());
  const auto more = b.connect();
  more->says("echo " + std::string(600'000, 'x'));
  b.read(more);
  CHECK(more->was_told("ERR BUSY the broker's memory for requests is used up"));
  more->says("and its end\n");
  b.read(more);
  lines->says("\n");
  b.read(lines);
  CHECK(b.at_node() == 1);
}

TEST_CASE("a client that asks for STATUS faster than it is answered is told so") {
  broker_by_hand b;
  const auto c = b.connect();
  for (std::uint64_t id = 1; id <= 70; ++id) c->says(frame_kind::status, id, "", "");
  b.read(c);
  CHECK(c->was_told("64 answers to STATUS"));
  c->says(frame_kind::status, 71, "", "");
  b.read(c);
  CHECK(c->told().ends_with('}'));
}

TEST_CASE("who may ask for some services sees in STATUS what offers these, and nothing of others") {
  broker_report all;
  all.requests.submitted = 12345;
  all.front.pid = 4711;
  node_report both;
  both.name = "frankfurt-7";
  both.address = "10.1.2.3";
  both.services = {"echo", "secret"};
  both.pid = 815;
  both.slots = 4;
  node_report other = both;
  other.services = {"secret"};
  all.nodes = {both, other};
  ropewalk::access who;
  who.services = {"echo"};
  const auto seen = visible_to(who, all);
  REQUIRE(seen.nodes.size() == 1);
  CHECK(seen.nodes[0].services == std::vector<std::string>{"echo"});
  const auto text = seen.json();
  for (const auto* hidden : {"frankfurt", "10.1.2.3", "secret", "815", "4711", "12345"})
    CHECK(text.find(hidden) == std::string::npos);
}

TEST_CASE("a client that goes away takes its requests and its bytes with it") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect();
  for (std::uint64_t id = 1; id <= 10; ++id) c->asks(id, "echo", std::string(1000, 'x'));
  b.read(c);
  CHECK(b.at_node() > 0);
  b.lose(c);
  CHECK(b.clients.size() == 0);
  b.answer_next("late"); // to nobody
  CHECK(c->told().empty());
}

TEST_CASE("where the broker asks who it is, a token opens what it is for, and may be taken back") {
  namespace fs = std::filesystem;
  const auto folder =
      fs::temp_directory_path() / ("ropewalk-sessions-" + std::to_string(::getpid()));
  fs::create_directory(folder);
  const auto file = (folder / "access").string();
  const auto made = *make_token();
  std::ofstream{file} << "alice " << made.secret << " echo\n";
  client_access_settings access;
  access.access_file = file;
  broker_by_hand b{{}, access};
  b.add_node("echo", 1);
  const auto c = b.connect();
  c->says("AUTH " + made.token + "\necho x\nother y\n");
  b.read(c);
  CHECK(c->was_told("OK\n"));
  CHECK(b.at_node() == 1);
  b.answer_next("x");
  CHECK(c->was_told("alice may not ask for service 'other'"));
  const auto stranger = b.connect();
  stranger->says("echo x\n");
  b.read(stranger);
  CHECK(stranger->was_told("the first line must be AUTH TOKEN"));
  CHECK(stranger->is_discarded());
  std::ofstream{file} << "bob " << make_token()->secret << " echo\n";
  CHECK(b.clients.load_access(b.now));
  b.end_turn();
  CHECK(c->was_told("its right to be here was taken back"));
  fs::remove_all(folder);
}

TEST_CASE("a drain refuses new work, and closes clients when all is answered and sent") {
  broker_by_hand b;
  b.add_node("echo", 1);
  const auto c = b.connect();
  c->asks(1, "echo");
  b.read(c);
  b.clients.begin_drain();
  c->asks(2, "echo");
  b.read(c);
  CHECK(c->was_told(sentence_of(error_code::draining)));
  c->takes(0);
  b.answer_next("1");
  CHECK_FALSE(b.clients.all_sent());
  c->takes(1000);
  CHECK(b.clients.all_sent());
  b.clients.close_all(b.now);
  CHECK(c->is_finished());
  c->closes_its_half();
  b.read(c);
  CHECK(c->is_closed());
}

TEST_CASE("a client that ends its last line with its connection gets its answer") {
  broker_by_hand b;
  b.add_node("echo", 10);
  b.now += dispatch_settings{}.startup_grace;
  const auto ends_with = [&](const std::string& bytes) {
    const auto c = b.connect();
    c->says(bytes);
    b.read(c);
    c->closes_its_half();
    b.read(c);
    const auto asked = b.at_node();
    while (b.at_node() > 0) b.answer_next("yes");
    b.end_turn();
    return std::to_string(asked) + " " + c->told() + (c->is_closed() ? "closed" : "open");
  };
  CHECK(ends_with("echo hello") == "1 OK yes\nclosed");
  CHECK(ends_with("echo a\necho b") == "2 OK yes\nOK yes\nclosed");
  CHECK(ends_with("echo a\n") == "1 OK yes\nclosed");
  CHECK(ends_with("nothing").starts_with("0 ERR NO_SERVICE"));
  CHECK(ends_with("").ends_with("closed"));
}

TEST_CASE("a line that somebody has cut off is no request") {
  broker_by_hand b;
  b.add_node("echo", 10);
  const auto c = b.connect();
  c->says("echo 100");
  b.read(c);
  c->is_cut_short();
  c->closes_its_half();
  b.read(c);
  CHECK(b.at_node() == 0);
  CHECK(c->told().empty());
  CHECK(c->is_closed());
}
