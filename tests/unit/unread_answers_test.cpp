#include "tests/unit/broker_by_hand.hpp"

#include <string>

using namespace ropewalk;

// The memory for answers that clients have not read: who is cut off when it is used up.

TEST_CASE("when all have left too much unread, who has left most goes first") {
  broker_tuning limits;
  limits.answers_memory = 1'000'000;
  broker_by_hand b{limits};
  b.add_node("echo", 10);
  const auto much = b.connect();
  const auto less = b.connect();
  for (const auto& c : {much, less}) {
    c->takes(0);
    c->asks(1, "echo");
    b.read(c);
  }
  b.answer_next(std::string(700'000, 'a'));
  b.answer_next(std::string(500'000, 'a'));
  b.pass(1s);
  CHECK(much->is_cut_off());
  CHECK_FALSE(less->is_cut_off());
  CHECK(b.clients.cut_off() == 1);
}

TEST_CASE(
    "an answer as large as the memory for answers, in the turn of a sweep, is no answer that was "
    "left unread") {
  broker_tuning limits;
  limits.answers_memory = 1'000'000;
  broker_by_hand b{limits};
  b.add_node("echo", 10);
  const auto c = b.connect();
  c->asks(1, "echo");
  b.read(c);
  b.append_answer(std::string(1'000'000, 'a')); // and its frame's head
  b.clients.check_timeouts(b.now);
  CHECK_FALSE(c->is_cut_off());
  b.end_turn();
  CHECK(c->told().size() == 1'000'016);
  c->takes(0); // from now on
  c->asks(2, "echo");
  b.read(c);
  b.answer_next(std::string(1'000'000, 'b'));
  b.clients.check_timeouts(b.now);
  CHECK(c->is_cut_off());
}
