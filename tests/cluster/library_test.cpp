#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <set>

using namespace ropewalk;

// Handlers in a shared library (`lib:`): tests/cluster/libraries/obedient.c does what it is told.

namespace {

const std::string obedient = "l=lib:" ROPEWALK_LIBRARIES "/libobedient.so:argument:of it";

std::string text(const client_answer& answer) {
  return std::string{name_of(answer.code)} + " " + std::string{answer.payload.view()};
}

std::string ask(client& connection, std::string_view message, const request_options& options = {}) {
  return text(connection.call("l", message, options));
}

} // namespace

TEST_CASE("a shared library answers: a state a slot, replies of its own memory and of others'") {
  cluster c;
  c.start_node("a", {"--service", obedient, "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(ask(connection, "who") == "OK l argument:of it 1");
  CHECK(ask(connection, "who") == "OK l argument:of it 2");
  CHECK(ask(connection, "attempt", {.timeout = 5s}) == "OK 1 1");
  CHECK(ask(connection, "") == "OK ");
  CHECK(ask(connection, "fail") == "FAILED it is wrong");
  CHECK(ask(connection, "seven").find("FAILED ropewalk_run returned 7") == 0);
  const std::string large(limits::default_max_message_bytes, 'y');
  CHECK(ask(connection, large) == "OK " + large);
  for (int i = 0; i < 100; ++i) REQUIRE(ask(connection, "give") == "OK given");
  CHECK(eventually([&] { return ask(connection, "released") == "OK 100"; }));
  CHECK(ask(connection, "until stopped", {.timeout = 300ms}).find("TIMEOUT") == 0);
  CHECK(ask(connection, "hi") == "OK hi"); // the same slot, which was not written off
  CHECK(c.status()["restarts"] == 0);
}

TEST_CASE("a library that cannot be used is an error before its node joins, and of --check") {
  cluster c;
  const auto [library, why] = GENERATE(
      std::pair<std::string, std::string>{"/no/such/libx.so", "cannot open shared object file"},
      std::pair<std::string, std::string>{ROPEWALK_LIBRARIES "/libwithout_close.so",
                                          "it has no ropewalk_close"},
      std::pair<std::string, std::string>{ROPEWALK_LIBRARIES "/libof_version_2.so",
                                          "made for version 2"},
      std::pair<std::string, std::string>{ROPEWALK_LIBRARIES "/libcrashes_at_start.so", "signal 6"},
      std::pair<std::string, std::string>{"", "wants a shared library"});
  auto& node = c.start_node("a", {"--service", "l=lib:" + library});
  CHECK(node.wait(5s) == 2);
  INFO(node.log());
  CHECK(node.says(why));
  const auto checked = c.run({"worker", "--service", "l=lib:" + library, "--check"});
  CHECK(checked.status == 2);
  CHECK(checked.err.find(why) != std::string::npos);
  CHECK(c.has_nodes(0));
}

TEST_CASE("a library whose slots cannot be opened says why, and its node goes in the end") {
  cluster c;
  auto& node = c.start_node("a", {"--service", "l=lib:" ROPEWALK_LIBRARIES "/libobedient.so:broken",
                                  "--slots", "1", "--restarts", "1"});
  REQUIRE(node.wait(20s));
  CHECK(node.says("ropewalk_open failed: there is no model"));
}

TEST_CASE("a run that hangs in the node costs its slot until it ends, and nothing else") {
  cluster c;
  auto& node =
      c.start_node("a", {"--service", obedient, "--slots", "2", "--set", "l.stop-timeout=300ms"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto time_of_two = [&] {
    const auto began = std::chrono::steady_clock::now();
    for (int i = 0; i < 2; ++i) connection.send("l", shared_bytes::copy_of("deaf 400"));
    for (int i = 0; i < 2; ++i) CHECK(text(*connection.wait(10s)) == "OK too late");
    return std::chrono::steady_clock::now() - began;
  };
  CHECK(ask(connection, "deaf 2500", {.timeout = 200ms}).find("TIMEOUT") == 0);
  REQUIRE(node.says("is written off"));
  CHECK(eventually([&] { return c.status()["in_flight"] == 0 && c.status()["restarts"] == 1; }));
  for (int i = 0; i < 10; ++i) CHECK(ask(connection, "hi") == "OK hi");
  CHECK(time_of_two() >= 800ms); // one after the other
  REQUIRE(node.says("starting the slot again"));
  CHECK(eventually([&] { return time_of_two() < 750ms; }));
}

TEST_CASE("under a master the process in which a run hangs is replaced, and ends") {
  cluster c;
  c.start_node("a", {"--service", obedient, "--slots", "2", "--processes", "2", "--set",
                     "l.stop-timeout=300ms"});
  REQUIRE(c.has_nodes(2));
  auto connection = c.connect();
  const auto pids = [&] {
    std::set<std::int64_t> result;
    const auto status = c.status();
    for (const auto& n : status["nodes"]) result.insert(n["pid"].get<std::int64_t>());
    return result;
  };
  const auto before = pids();
  CHECK(ask(connection, "deaf 100000", {.timeout = 200ms}).find("TIMEOUT") == 0);
  for (int i = 0; i < 200; ++i) CHECK(ask(connection, "hi") == "OK hi");
  CHECK(eventually([&] {
    const auto now = pids();
    std::size_t kept = 0;
    for (const auto pid : before) kept += now.count(pid);
    return now.size() == 2 && kept == 1;
  }));
}

TEST_CASE("a library that crashes takes its process along, and not the message after it") {
  cluster c;
  c.start_node("a", {"--service", obedient, "--slots", "1", "--processes", "2"});
  REQUIRE(c.has_nodes(2));
  auto connection = c.connect();
  const auto answer = ask(connection, "crash", {.attempts = std::uint8_t{2}});
  CHECK(answer.find("WORKER_LOST") == 0);
  CHECK(ask(connection, "hi", {.timeout = 20s}) == "OK hi");
  CHECK(c.has_nodes(2));
}

TEST_CASE("the example of a library counts lines") {
  cluster c;
  c.start_node("a",
               {"--service", "lines=lib:" ROPEWALK_LIBRARIES "/liblines.so:lines", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(text(connection.call("lines", "a\nb\nc")) == "OK 2 lines of 2");
  CHECK(text(connection.call("lines", "d\n")) == "OK 1 lines of 3");
}
