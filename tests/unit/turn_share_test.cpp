#include "tests/catch.hpp"
#include "tests/unit/broker_by_hand.hpp"

using namespace ropewalk;

TEST_CASE("frames that ask for no work are read little by little until it is work again") {
  broker_by_hand b;
  b.add_node("echo", 1000);
  const auto c = b.connect();
  for (int i = 0; i < 300; ++i) c->says(frame_kind::ping, 1, "", "");
  b.read(c);
  CHECK(c->halvings() == turn_share::most_halvings);
  std::uint64_t id = 0;
  for (int i = 0; i < 31; ++i) {
    c->asks(++id, "echo");
    b.read(c);
  }
  CHECK(c->halvings() == turn_share::most_halvings);
  b.end_turn();
  for (int i = 0; i < turn_share::most_halvings; ++i) {
    c->asks(++id, "echo");
    b.read(c);
  }
  CHECK(c->halvings() == 0);
}

TEST_CASE(
    "a newcomer is read little by little at first, and then like everybody, if there is time") {
  broker_by_hand b;
  b.add_node("echo", 1000);
  const auto speaks_http = GENERATE(false, true);
  const auto newcomer = [&] { return speaks_http ? b.connect_http() : b.connect(); };
  std::uint64_t id = 0;
  const auto says_something = [&](const std::shared_ptr<fake_client>& who) {
    if (speaks_http)
      who->says("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    else
      who->asks(++id, "echo");
    b.hear(who);
  };
  const auto c = newcomer();
  for (int i = turn_share::first_halvings; i > 0; --i) {
    CHECK(c->halvings() == i);
    says_something(c);
    b.end_turn();
  }
  CHECK(c->halvings() == 0);

  // Many that come at once leave no time for that.
  std::vector<std::shared_ptr<fake_client>> many;
  while (many.size() <= turn_share::max_frames) says_something(many.emplace_back(newcomer()));
  CHECK(many.front()->halvings() < turn_share::first_halvings);
  CHECK(many.back()->halvings() == turn_share::first_halvings);
  says_something(many.back());
  CHECK(many.back()->halvings() == turn_share::first_halvings);
}

TEST_CASE(
    "who brings many frames is read in smaller pieces while all together bring too many a turn") {
  broker_by_hand b;
  b.add_node("echo", 1000);
  const std::vector loud{b.connect(), b.connect()};
  const auto modest = b.connect();
  std::uint64_t id = 0;
  const auto turn = [&](std::uint64_t frames) {
    for (const auto& c : loud) {
      for (std::uint64_t i = 0; i < frames; ++i) c->asks(++id, "echo");
      b.hear(c);
    }
    modest->asks(++id, "echo");
    b.hear(modest);
    b.end_turn();
  };
  for (int i = 0; i < turn_share::first_halvings; ++i) turn(100);
  CHECK(loud[0]->halvings() == 0);
  for (int i = 0; i < 4; ++i) turn(turn_share::max_frames);
  CHECK(loud[0]->halvings() == 3);
  CHECK(loud[1]->halvings() == 4);
  CHECK(modest->halvings() == 0);
  for (int i = 0; i < turn_share::most_halvings + 3; ++i) turn(turn_share::max_frames);
  CHECK(loud[0]->halvings() == turn_share::most_halvings);
  for (int i = 0; i < turn_share::most_halvings + 3; ++i)
    turn(turn_share::max_frames / 3); // between half and the whole: stays
  CHECK(loud[0]->halvings() == turn_share::most_halvings);
  turn(100);
  for (const auto& c : loud) c->leave_bulk();
  for (int i = 0; i < turn_share::most_halvings + 3; ++i) turn(100);
  CHECK(loud[0]->halvings() == 0);
}

TEST_CASE(
    "who brings much while there is more than a turn has time for is bulk, and others are not") {
  broker_by_hand b;
  b.add_node("echo", 1000);
  const std::vector frames{b.connect(), b.connect()};
  const auto large = b.connect();
  const auto modest = b.connect();
  std::uint64_t id = 0;
  const auto turn = [&](std::uint64_t count, std::size_t bytes) {
    for (const auto& c : frames) {
      for (std::uint64_t i = 0; i < count; ++i) c->asks(++id, "echo");
      b.hear(c);
    }
    large->asks(++id, "echo", std::string(bytes, 'x'));
    b.hear(large);
    modest->asks(++id, "echo");
    b.hear(modest);
    b.end_turn();
  };
  const std::vector all{frames[0], frames[1], large, modest};
  const auto bulk = [&] {
    std::vector<bool> is;
    for (const auto& c : all) is.push_back(c->is_bulk());
    return is;
  };
  for (int i = 0; i < turn_share::first_halvings; ++i)
    turn(100, 100'000); // there is time for all of it
  CHECK(bulk() == std::vector{false, false, false, false});
  for (int i = 0; i < 2; ++i) turn(turn_share::max_cost / 2 - 20, 200'000);
  CHECK(bulk() == std::vector{true, true, true, false});
  CHECK(frames[0]->halvings() == 0); // it is the others that would wait, and they do not

  // Less is read of a bulk client for as long as it is one.
  for (int i = 0; i < 4; ++i) turn(turn_share::max_frames, 1);
  const auto halvings = frames[0]->halvings();
  CHECK(halvings > 0);
  for (int i = 0; i < 4; ++i) turn(10, 1);
  CHECK(frames[0]->halvings() == halvings);
  for (const auto& c : all) c->leave_bulk();
  for (int i = 0; i < turn_share::most_halvings; ++i) turn(10, 1);
  CHECK(bulk() == std::vector{false, false, false, false});
  CHECK(frames[0]->halvings() == 0);
}
