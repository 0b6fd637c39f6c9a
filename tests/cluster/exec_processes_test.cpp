#include "tests/cluster/exec_handler.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <unistd.h>

using namespace ropewalk;

namespace fs = std::filesystem;

// How the processes of handlers that stay up are started, replaced and ended.

TEST_CASE("what cannot be started, or ends before it is ready, is said loudly and tried again, "
          "another node answers") {
  struct one {
    std::string options, start_timeout, said;
  };
  const auto [options, start_timeout, said] =
      GENERATE(one{"--at-start 7", "30s", "cannot begin: there is no model"},
               one{"--never", "500ms", "was not ready within 500 ms"});
  cluster c;
  auto& broken = c.start_node(
      "broken", node_of({"--slots", "2", "--set", "h.start-timeout=" + start_timeout}, options));
  c.start_node("a", node_of({"--slots", "1"}));
  REQUIRE(c.has_nodes(2));
  load l{c.connect(), "h", 200, 4, [](std::uint64_t) { return std::string{"echo x"}; }};
  l.expects_echo = false;
  l.run(30s);
  CHECK(l.answered == 200);
  CHECK(l.errors.empty());
  CHECK(broken.says(said));
  CHECK(broken.says("trying again in"));
}

TEST_CASE("handlers end with their node, however that ends, and all that they started") {
  const auto how = GENERATE(SIGTERM, SIGKILL);
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "2", "--set", "h.stop-timeout=300ms"},
                                         GENERATE(std::string{}, std::string{"--deaf"})));
  auto connection = ready_client(c);
  std::vector<pid_t> pids;
  for (const auto* word : {"pid", "fork", "pid", "fork"})
    pids.push_back(std::stoi(ask(connection, word).substr(3)));
  node.signal(how);
  CHECK(node.wait(10s * time_factor));
  CHECK(eventually([&] {
    return std::all_of(pids.begin(), pids.end(), [](pid_t pid) { return ::kill(pid, 0) != 0; });
  }));
}

TEST_CASE("processes are replaced after so many requests, and no request is lost by it") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "2", "--set", "h.recycle-after=25"}));
  auto connection = ready_client(c);
  const auto descriptors = [&] {
    fs::directory_iterator all{"/proc/" + std::to_string(node.pid()) + "/fd"};
    return std::distance(begin(all), end(all));
  };
  const auto before = descriptors();
  load l{c.connect(), "h", 500, 4, [](std::uint64_t) { return std::string{"echo x"}; }};
  l.expects_echo = false;
  l.run(60s);
  CHECK(l.answered == 500);
  CHECK(l.twice == 0);
  CHECK(c.status()["redispatched"] == 0);
  CHECK(eventually([&] { return descriptors() <= before; }));
  CHECK(children_of(node.pid(), true).empty());
}

TEST_CASE("handlers that are killed at random under load: every answer comes, and is right") {
  cluster c;
  c.start_node("a", node_of({"--slots", "3"}));
  c.start_node("b", node_of({"--slots", "3"}));
  auto connection = ready_client(c, 2);
  load l{c.connect(), "h", 6000, 12, [](std::uint64_t) { return std::string{"pid"}; }};
  l.expects_echo = false;
  l.run(120s, [&](std::uint64_t answered) {
    if (answered % 100 != 0) return;
    const auto pid = ask(connection, "pid"); // of one of them, whichever it is
    if (pid.find("OK ") == 0) ::kill(std::stoi(pid.substr(3)), SIGKILL);
  });
  CHECK(l.answered == 6000);
  CHECK(l.errors.empty());
  CHECK(l.twice == 0);
}

TEST_CASE("a node where nothing happens starts its handlers again, whatever has ended them") {
  using pids_of_node = std::vector<pid_t> (*)(const process&);
  const auto whose =
      GENERATE(pids_of_node{keepers_of}, pids_of_node{spawners_of}, pids_of_node{handlers_of});
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "2"}));
  auto connection = ready_client(c);
  REQUIRE(node.says("process 1 is ready"));
  const auto starts = [&] { return occurrences(node.log(), "is ready, for"); };
  REQUIRE(starts() == 2);
  std::this_thread::sleep_for(200ms); // until nobody looks at the time any more
  for (const auto pid : whose(node)) ::kill(pid, SIGKILL);
  CHECK(eventually([&] { return starts() == 4; }, 5s * time_factor));
  CHECK(ask(connection, "echo x") == "OK x");
}

TEST_CASE("a handler that closes its channel while nothing happens is ended and started again") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "1"}, "--deaf")); // it lives on
  auto connection = ready_client(c);
  REQUIRE(ask(connection, "close-in 300") == "OK soon");
  CHECK(node.says("closed its channel and lives on"));
  CHECK(ask(connection, "echo x") == "OK x");
}

TEST_CASE("functions and coroutines in Python are handlers") {
  cluster c;
  const auto path = c.folder() + "/handlers.py";
  std::ofstream{path} << R"(import asyncio, os, ropewalk

@ropewalk.handler("h")
def h(message, context):
    if message == b"crash":
        os.abort()
    if message == b"raise":
        raise ValueError("not this one")
    return f"{message.decode()} {context.attempt}"

@ropewalk.handler("many")
async def many(message):
    await asyncio.sleep(0.5)
    return message

ropewalk.serve()
)";
  const std::string runs = "=exec:python3 " + path;
  std::vector<std::string> words;
  for (const std::string name : {"h", "many"})
    words.insert(words.end(), {"--service", name + runs, "--set",
                               name + ".env=PYTHONPATH=" ROPEWALK_SOURCE_DIR "/apps/python"});
  words.insert(words.end(),
               {"--slots", "1", "--set", "many.slots=100", "--set", "many.processes=1"});
  c.start_node("a", words);
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(ask(connection, "hello") == "OK hello 1");
  CHECK(ask(connection, "raise").find("FAILED ValueError: not this one (" + path) == 0);
  CHECK(ask(connection, "crash").find("WORKER_LOST") == 0);
  CHECK(ask(connection, "again") == "OK again 1");
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) connection.send("many", shared_bytes::copy_of("x"));
  for (int i = 0; i < 100; ++i) REQUIRE(text(connection.wait(20s)) == "OK x");
  CHECK(std::chrono::steady_clock::now() - began < 10s * time_factor); // and not 50
}

TEST_CASE("SIGHUP brings a handler's new version into service under load, and loses nothing") {
  cluster c;
  const auto path = c.folder() + "/version";
  const auto write_version = [&](const std::string& version) {
    std::ofstream{path + ".new"} << version;
    fs::rename(path + ".new", path);
  };
  write_version("1");
  auto& node = c.start_node(
      "a", {"--service",
            "h=exec:python3 " ROPEWALK_SOURCE_DIR "/tests/cluster/handler.py --version " + path,
            "--slots", "2"});
  auto connection = ready_client(c);
  CHECK(ask(connection, "version") == "OK 1");
  load l{c.connect(), "h", 4000, 4, [](std::uint64_t) { return std::string{"echo x"}; }};
  l.expects_echo = false;
  int version = 1;
  l.run(60s, [&](std::uint64_t answered) {
    if (answered % 1000 != 500) return;
    write_version(std::to_string(++version));
    node.signal(SIGHUP);
    const auto wanted = "OK " + std::to_string(version);
    REQUIRE(eventually([&] { return ask(connection, "version") == wanted; }, 20s));
  });
  CHECK(l.answered == 4000);
  CHECK(l.twice == 0);
  CHECK(version == 5);
  CHECK(c.status()["redispatched"] == 0);
  CHECK(c.status()["restarts"] == 0);

  write_version("fails");
  node.signal(SIGHUP);
  REQUIRE(eventually([&] {
    return node.log().find("the one that it was to replace goes on") != std::string::npos;
  }));
  CHECK(ask(connection, "version") == "OK 5");
}

TEST_CASE("a folder and an environment of a service's own, for programs of every kind") {
  cluster c;
  const auto folder = c.folder() + "/there";
  fs::create_directory(folder);
  c.start_node("a", {"--service", "h=cmd:sh -c 'pwd; echo $A $B'", "--set", "h.cwd=" + folder,
                     "--set", "h.env=A=1", "--set", "h.env=B=two words", "--set", "h.slots=1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(ask(connection, "") == "OK " + folder + "\n1 two words\n");
}

TEST_CASE("options of a service that make no sense are said before anything starts") {
  cluster c;
  const auto tried = [&](std::vector<std::string> words) {
    words.insert(words.begin(),
                 {"worker", "--broker", c.nodes().text(), "--service", "h=exec:cat"});
    const auto result = c.run(std::move(words));
    CHECK(result.status == 2);
    return result.err;
  };
  CHECK(tried({"--set", "h.slot=1"}).find("no option 'slot'") != std::string::npos);
  CHECK(tried({"--set", "g.slots=1"}).find("no service 'g'") != std::string::npos);
  CHECK(tried({"--set", "slots=1"}).find("SERVICE.OPTION=VALUE") != std::string::npos);
  CHECK(tried({"--set", "h.slots=0"}).find("between 1 and") != std::string::npos);
}
