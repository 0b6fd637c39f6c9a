#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/matches.hpp"

#include <csignal>
#include <filesystem>

using namespace ropewalk;

/// A service whose last node has left: what waits for it, and what becomes of that, is said.

TEST_CASE(
    "a request for a service whose last node has left is told since when nobody offers it, and "
    "the log says what waits") {
  for (const auto& shards : {std::vector<std::string>{}, {"--shards", "2"}}) {
    INFO(shards.size());
    cluster c{shards};
    auto& node = c.start_node("a", {"--service", "echo=builtin:echo"});
    REQUIRE(c.has_nodes(1));
    REQUIRE(eventually([&] { return c.connect().call("echo", "x").code == error_code::ok; }));
    node.signal(SIGTERM);
    REQUIRE(node.wait(10s) == 0);
    REQUIRE(c.broker().says("no node offers service echo any more"));
    request_options options;
    options.timeout = 1200ms;
    const auto answer = c.connect().call("echo", "x", options);
    CHECK(answer.code == error_code::timeout);
    CHECK(contains(std::string{answer.payload.view()},
                   "no node has offered service 'echo' since its last one left "));
    CHECK(contains(std::string{answer.payload.view()}, "start a worker that does"));
    options.timeout = 20s;
    auto waits = c.connect();
    waits.send("echo", shared_bytes::copy_of("waited"), options);
    waits.flush();
    REQUIRE_FALSE(waits.wait(300ms));
    c.start_node("b", {"--service", "echo=builtin:echo"});
    const auto answered = waits.wait(20s);
    REQUIRE(answered);
    CHECK(answered->payload.view() == "waited");
  }
}

TEST_CASE("a broker that has just begun lets requests wait for the workers that are on their way") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  for (int i = 0; i < 5; ++i) {
    c.restart_broker(); // it was killed
    auto connection = c.connect();
    CHECK(connection.call("echo", "x").code == error_code::ok);
  }
  // A name that nobody offers is no service, and its place in the tables is not another's.
  c.restart_broker();
  const auto wrong = c.connect().call("nobody's", "x");
  CHECK(wrong.code == error_code::no_service);
  CHECK(contains(std::string{wrong.payload.view()}, "no worker has offered service 'nobody's'"));
  auto connection = c.connect();
  for (int i = 0; i < 10; ++i) CHECK(connection.call("echo", "x").code == error_code::ok);
  CHECK(eventually([&] {
    const auto status = c.status();
    const auto& services = status["services"];
    return services.size() == 1 && services[0]["name"] == "echo" &&
           services[0]["rates"]["60s"]["answered"] > 0;
  }));
}

TEST_CASE(
    "with --no-node-reply now, what waits for a service is answered when its last node leaves, and "
    "what comes then, at once") {
  cluster c{{"--no-node-reply", "now"}};
  const auto started = c.folder() + "/started";
  auto& node = c.start_node(
      "a", {"--service", "run=cmd:sh -c \"touch " + started + "; sleep 60\"", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto runs = connection.send("run", {});
  connection.flush();
  REQUIRE(eventually([&] { return std::filesystem::exists(started); }));
  const auto waits = connection.send("run", {});
  connection.flush();
  REQUIRE(eventually([&] {
    const auto status = c.status();
    return status["in_flight"].get<int>() + status["queued"].get<int>() == 2;
  }));
  node.signal(SIGKILL);
  for (int i = 0; i < 2; ++i) {
    const auto answer = connection.wait(5s);
    REQUIRE(answer);
    CHECK((answer->id == runs || answer->id == waits));
    CHECK(answer->code == (answer->id == runs ? error_code::worker_lost : error_code::no_service));
  }
  const auto asked = c.run({"send", "run", "--data", "1", "--broker", c.clients().text()});
  CHECK(asked.status == 1);
  CHECK(
      contains(asked.err, "NO_SERVICE: no node has offered service 'run' since its last one left"));
}
