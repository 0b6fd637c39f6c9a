#include "tests/catch.hpp"
#include "tests/cluster/exec_handler.hpp"

#include <csignal>
#include <set>

using namespace ropewalk;

// Services whose slots are actors of somebody's own (ropewalk/actors.hpp): apps/examples/
// actor_worker.cpp, and tests/cluster/actors/unruly.cpp.

namespace {

process actors(const cluster& c, const std::string& program, std::vector<std::string> options) {
  std::vector<std::string> words{ROPEWALK_PROGRAMS "/" + program, "--broker", c.nodes().text(),
                                 "--name", "actors"};
  words.insert(words.end(), options.begin(), options.end());
  return {std::move(words), c.folder() + "/actors.log"};
}

} // namespace

TEST_CASE("an actor of one's own keeps its state, and an error of it is the message's answer") {
  cluster c;
  auto own = actors(c, "example_actors", {"--slots", "4"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  for (int i = 1; i <= 3; ++i)
    CHECK(text(connection.call("tally", "rope")) == "OK " + std::to_string(i));
  CHECK(text(connection.call("tally", "")) == "FAILED there is no word");
  CHECK(text(connection.call("tally", "rope")) == "OK 4");
  own.signal(SIGTERM);
  CHECK(own.wait(10s) == 0);
}

TEST_CASE("one actor of one's own has many requests open, by response promises") {
  cluster c;
  auto own = actors(c, "example_actors", {"--slots", "64"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  for (int i = 0; i < 64; ++i) connection.send("batched", shared_bytes::copy_of("x"));
  int largest = 0;
  for (int i = 0; i < 64; ++i) {
    const auto answer = text(connection.wait(10s));
    REQUIRE(answer.starts_with("OK one of "));
    largest = std::max(largest, std::stoi(answer.substr(10)));
  }
  CHECK(largest >= 16);
  const auto status = c.status();
  CHECK(status["redispatched"] == 0);
  CHECK(status["restarts"] == 0);
}

TEST_CASE("an actor of one's own that ends is made again, and what it had open is run again") {
  cluster c;
  auto own = actors(c, "unruly_actors", {"--slots", "8"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(text(connection.call("one", "echo hi")) == "OK hi");
  const auto lost = text(connection.call("one", "quit"));
  CHECK(lost.starts_with("WORKER_LOST its worker was lost 3 times"));
  CHECK(lost.find("its actor is gone: ") != std::string::npos);
  CHECK(text(connection.call("one", "echo again")) == "OK again");
  CHECK(own.says("service one: actor 0 is gone"));

  // Among others: it is found, and nobody else is refused.
  std::set<std::uint64_t> innocent;
  for (int i = 0; i < 7; ++i)
    innocent.insert(connection.send("one", shared_bytes::copy_of("later")));
  connection.send("one", shared_bytes::copy_of("quit"));
  for (int i = 0; i < 8; ++i) {
    const auto answer = connection.wait(20s);
    REQUIRE(answer);
    INFO(text(answer));
    CHECK((answer->code == error_code::ok) == innocent.contains(answer->id));
  }
}

TEST_CASE("an actor of one's own that does not answer in time is killed, and only that message is "
          "to blame") {
  cluster c;
  auto own = actors(c, "unruly_actors", {"--slots", "4", "--set", "one.stop-timeout=100ms"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto hung = connection.send("one", shared_bytes::copy_of("never"), {.timeout = 300ms});
  for (int i = 0; i < 3; ++i)
    connection.send("one", shared_bytes::copy_of("later"), {.timeout = 20s});
  for (int i = 0; i < 4; ++i) {
    const auto answer = connection.wait(20s);
    REQUIRE(answer);
    INFO(text(answer));
    CHECK(answer->code == (answer->id == hung ? error_code::timeout : error_code::ok));
  }
  const auto kills = [&] {
    const auto log = own.log();
    return log.find("it is killed") == log.rfind("it is killed") ? 1 : 2;
  };
  CHECK(kills() == 1);
  CHECK(text(connection.call("one", "until stopped", {.timeout = 200ms})).find("TIMEOUT") == 0);
  CHECK(text(connection.call("one", "echo still")) == "OK still");
  CHECK(kills() == 1); // it stopped when it was told
  CHECK(text(connection.call("one", "large")).find("TOO_LARGE") == 0);
}

TEST_CASE("an actor of one's own that is busy has its message run elsewhere, charged to nobody") {
  cluster c;
  auto own = actors(c, "unruly_actors", {"--slots", "1"});
  c.start_node("a", {"--service", "one=builtin:upper", "--slots", "1"});
  REQUIRE(c.has_nodes(2));
  auto connection = c.connect();
  for (int i = 0; i < 10; ++i)
    REQUIRE(text(connection.call("one", "busy", {.attempts = std::uint8_t{1}})) == "OK BUSY");
  CHECK(c.status()["restarts"] == 0);
}
