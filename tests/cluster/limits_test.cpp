#include "net/protocol/frame.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/bystanders.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"

#include <thread>

using namespace ropewalk;

TEST_CASE("what has come of messages counts against the broker's memory before they are whole") {
  cluster c{{"--memory", "8388608", "--message-time", "60000"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto half =
      frame(frame_kind::request, 1, "echo", std::string(2'000'000, 'x')).substr(0, 1'900'000);
  std::vector<std::unique_ptr<raw>> holders;
  const auto hold = [&] {
    holders.push_back(std::make_unique<raw>(c.clients()));
    return holders.back()->send(half);
  };
  for (int i = 0; i < 4; ++i) REQUIRE(hold());
  auto other = c.connect();
  const std::string big(2'000'000, 'y');
  // It may come in between, and one of the others be refused in its place: then there is one more.
  REQUIRE(eventually([&] {
    if (other.call("echo", big).code == error_code::busy) return true;
    REQUIRE(hold());
    return false;
  }));
  REQUIRE(other.call("echo", "small").code == error_code::ok); // the connection goes on
  holders.clear();
  REQUIRE(eventually([&] { return other.call("echo", big).code == error_code::ok; }));
}

TEST_CASE("messages that are announced and do not come take no room from those that do") {
  cluster c{{"--memory", "8388608", "--message-time", "60000"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto head =
      frame(frame_kind::request, 1, "echo", std::string(2'000'000, 'x')).substr(0, 28);
  std::vector<std::unique_ptr<raw>> announcing;
  for (int i = 0; i < 256; ++i) {
    announcing.push_back(std::make_unique<raw>(c.clients()));
    REQUIRE(announcing.back()->send(head));
  }
  auto other = c.connect();
  const std::string big(2'000'000, 'y');
  for (int i = 0; i < 20; ++i) CHECK(other.call("echo", big).code == error_code::ok);
}

TEST_CASE("a client that has closed its half has its place until it has its answers") {
  cluster c{{"--connections", "4", "--unread-answers-time", "5000"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  const auto served = [&] {
    raw r{c.clients()};
    r.send("echo hello\n");
    return r.receive_line() == "OK hello\n";
  };
  REQUIRE(eventually(served));
  std::this_thread::sleep_for(200ms); // until that one has left, too
  std::vector<std::unique_ptr<raw>> holders;
  for (int i = 0; i < 4; ++i) {
    holders.push_back(std::make_unique<raw>(c.clients()));
    holders.back()->receive_little();
    for (std::uint64_t id = 1; id <= 4; ++id)
      holders.back()->send(frame(frame_kind::request, id, "echo", std::string(2'000'000, 'x')));
    holders.back()->finish();
  }
  // They take nothing, and nobody else comes in until that has gone on for too long.
  CHECK_FALSE(served());
  CHECK(eventually(served));
  CHECK(c.broker().says("cut off"));
}

TEST_CASE("text lines without an end count against the broker's memory, too") {
  cluster c{{"--memory", "8388608"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto before = resident_kib(c.broker().pid());
  const auto line = "echo " + std::string(2'000'000, 'x');
  std::vector<std::unique_ptr<raw>> holders;
  for (int i = 0; i < 100; ++i) {
    holders.push_back(std::make_unique<raw>(c.clients()));
    REQUIRE(holders.back()->send(line));
  }
  others_are_served(c);
  const auto most = resident_kib(c.broker().pid());
  INFO("broker RSS " << before / 1024 << " MiB before, " << most / 1024 << " MiB with 200 MB sent");
  // What a line takes grows by doubling: there is room for twice what has come. What was given up on
  // the way there goes back to the kernel a moment later.
  CHECK(eventually(
      [&] { return resident_kib(c.broker().pid()) < before + 2 * (8 << 10) + slack_kib; }));
  holders.clear();
  auto other = c.connect();
  const std::string big(2'000'000, 'y');
  REQUIRE(eventually([&] { return other.call("echo", big).code == error_code::ok; }));
}

TEST_CASE("answers that nobody reads have a budget for all clients together") {
  cluster c{{"--answers-memory", "8388608", "--unread-answers-time", "60000"}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  others_are_served(c);
  const auto before = resident_kib(c.broker().pid());
  std::vector<std::unique_ptr<raw>> readers;
  std::uint64_t most = 0;
  for (int i = 0; i < 30; ++i) {
    readers.push_back(std::make_unique<raw>(c.clients()));
    for (std::uint64_t id = 1; id <= 20; ++id)
      readers.back()->send(frame(frame_kind::request, id, "echo", std::string(1'000'000, 'x')),
                           50ms);
    most = std::max(most, resident_kib(c.broker().pid()));
  }
  others_are_served(c);
  WARN("broker RSS at most " << most / 1024 << " MiB, " << before / 1024 << " before");
  CHECK(most < before + (96 << 10) + slack_kib);
}
