#include "tests/cluster/exec_handler.hpp"
#include "tests/cluster/raw.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>
#include <unistd.h>

using namespace ropewalk;

namespace fs = std::filesystem;

// What a service's options (--set SERVICE.OPTION=VALUE) do to its messages and its processes.

namespace {

// Asks until the answer is another; the answer, or nothing.
std::string until_another(client& connection, const std::string& question,
                          const std::string& than) {
  std::string answer = than;
  eventually([&] { return (answer = ask(connection, question)) != than; });
  return answer;
}

} // namespace

TEST_CASE("a service's timeout ends a message that runs for longer, whatever its deadline is") {
  const auto service = GENERATE(handler(), std::string{"h=cmd:sh -c 'cat; sleep 30'"});
  cluster c;
  c.start_node("a", {"--service", service, "--set", "h.timeout=300ms", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto began = std::chrono::steady_clock::now();
  const auto answer = ask(connection, "sleep 100000", {.timeout = 20s});
  CHECK(answer.find("TIMEOUT it ran for longer than its service's timeout (300 ms") == 0);
  CHECK(std::chrono::steady_clock::now() - began < 5s * time_factor);
  if (service == handler()) CHECK(ask(connection, "echo again") == "OK again");
}

TEST_CASE("a message whose deadline comes before its service's timeout has its deadline") {
  cluster c;
  c.start_node("a", node_of({"--set", "h.timeout=20s", "--slots", "1"}));
  auto connection = ready_client(c);
  const auto answer = ask(connection, "sleep 100000", {.timeout = 300ms});
  CHECK(answer.find("TIMEOUT") == 0);
  CHECK(answer.find("service's timeout") == std::string::npos);
}

TEST_CASE("a message that failed is started again where its service asks for that, and no oftener "
          "than it may be") {
  const auto service =
      GENERATE(handler(), std::string{"h=cmd:sh -c 'read w n; test $ROPEWALK_ATTEMPT -gt $n || "
                                      "{ echo not this time >&2; exit 1; }; echo -n "
                                      "$ROPEWALK_ATTEMPT'"});
  cluster c;
  c.start_node("a", {"--service", service, "--set", "h.retry-failed=true", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(ask(connection, "flaky 0") == "OK 1");
  CHECK(ask(connection, "flaky 2") == "OK 3");
  const auto failed = ask(connection, "flaky 9");
  CHECK(failed.find("FAILED") == 0);
  CHECK(failed.find("not this time") != std::string::npos);
  CHECK(ask(connection, "flaky 1", {.attempts = std::uint8_t{1}}).find("FAILED") == 0);
  CHECK(c.status()["restarts"] == 0);
}

TEST_CASE("a process is replaced when it is old, under load, and no request is lost by it") {
  cluster c;
  c.start_node("a", node_of({"--slots", "1", "--set", "h.recycle-age=1s"}));
  auto connection = ready_client(c);
  std::set<std::string> pids;
  std::set<std::string> answers;
  CHECK(eventually(
      [&] {
        for (int i = 0; i < 20; ++i) connection.send("h", shared_bytes::copy_of("echo x"));
        for (int i = 0; i < 20; ++i) answers.insert(text(connection.wait(10s)));
        pids.insert(ask(connection, "pid"));
        return pids.size() >= 3;
      },
      20s));
  CHECK(answers == std::set<std::string>{"OK x"});
  CHECK(c.status()["redispatched"] == 0);
  CHECK(c.status()["restarts"] == 0);
}

TEST_CASE("a process that has more memory than it should, itself or by a child, is replaced by one "
          "that is ready") {
  const auto eat = GENERATE(std::string{"eat 80"}, std::string{"eat-child 80"});
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "1", "--set", "h.max-memory=64MiB"}));
  auto connection = ready_client(c);
  const auto pid = ask(connection, "pid");
  CHECK(ask(connection, eat) == "OK eaten");
  CHECK(until_another(connection, "pid", pid).find("OK ") == 0);
  CHECK(node.says("more than its max-memory: it is replaced"));
  CHECK(c.status()["restarts"] == 0);
  CHECK(c.status()["redispatched"] == 0);
}

TEST_CASE("a process with twice the memory that it should have is ended, and what it was running "
          "is charged") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "1", "--set", "h.max-memory=40MiB"}));
  auto connection = ready_client(c);
  CHECK(ask(connection, "eat 150") == "OK eaten");
  const auto answer = ask(connection, "sleep 5000", {.attempts = std::uint8_t{1}});
  CHECK(answer.find("WORKER_LOST") == 0);
  CHECK(answer.find("more than twice its max-memory (40 MiB)") != std::string::npos);
  CHECK(ask(connection, "echo again") == "OK again");
  CHECK(node.says("twice its max-memory"));
}

TEST_CASE("the programs of a service run as another user, if the worker is root") {
  cluster c;
  const std::vector<std::string> words{"--service", "h=cmd:sh -c 'id -un; echo $HOME $USER'",
                                       "--set",     "h.user=nobody",
                                       "--set",     "h.nice=5"};
  if (::geteuid() != 0) {
    auto all = words;
    all.insert(all.begin(), {"worker", "--broker", c.nodes().text()});
    const auto tried = c.run(all);
    CHECK(tried.status == 2);
    CHECK(tried.err.find("only a worker that runs as root") != std::string::npos);
    return;
  }
  c.start_node("a", words);
  auto& b = c.start_node(
      "b", {"--service", "e=exec:sh -c 'echo I am $(id -un); exit 3'", "--set", "e.user=nobody"});
  REQUIRE(c.has_nodes(2));
  auto connection = c.connect();
  CHECK(ask(connection, "").find("OK nobody\n/nonexistent nobody\n") == 0);
  CHECK(b.says("says: I am nobody"));
}

TEST_CASE("the programs of a service are nicer than the worker") {
  const auto service = GENERATE(handler(), std::string{"h=cmd:nice"});
  cluster c;
  c.start_node("a", {"--service", service, "--set", "h.nice=7", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto answer = ask(connection, "self");
  const auto mine = ::nice(0);
  const auto last = answer.substr(answer.find_last_of(' ') + 1);
  CHECK(std::stoi(last) == std::min(mine + 7, 19));
}

TEST_CASE("a process that goes on living when its channel ends gets its signal, and then ends") {
  cluster c;
  const auto file = c.folder() + "/stopped";
  const auto [number, name] =
      GENERATE(std::pair<int, std::string>{SIGTERM, ""}, std::pair<int, std::string>{SIGINT, "INT"},
               std::pair<int, std::string>{SIGUSR1, "SIGUSR1"});
  std::vector<std::string> words{"--slots", "1", "--set", "h.stop-timeout=1s"};
  if (!name.empty()) words.insert(words.end(), {"--set", "h.stop-signal=" + name});
  auto& node =
      c.start_node("a", node_of(words, "--on-signal " + std::to_string(number) + " " + file));
  auto connection = ready_client(c);
  node.signal(SIGTERM);
  CHECK(node.wait(5s * time_factor) == 0);
  CHECK(fs::exists(file));
}

TEST_CASE("options of a service that its handler cannot have are said before anything starts") {
  cluster c;
  const auto tried = [&](const std::string& service, const std::string& option) {
    const auto result = c.run({"worker", "--broker", c.nodes().text(), "--service", "h=" + service,
                               "--set", "h." + option});
    CHECK(result.status == 2);
    return result.err;
  };
  for (const auto* option : {"max-memory=1GiB", "recycle-age=1h", "recycle-after=5",
                             "stop-signal=INT", "channel=stdio", "processes=2"})
    CHECK(tried("cmd:cat", option).find("is for handlers that stay up (exec:)") !=
          std::string::npos);
  for (const auto* option : {"nice=1", "cwd=/tmp", "env=A=1", "timeout=1s"})
    CHECK(tried("builtin:echo", option).find("are programs (cmd:, exec:)") != std::string::npos);
  CHECK(tried("exec:cat", "user=nobody-of-that-name").find("there is no user") !=
        std::string::npos);
}

TEST_CASE("the ordering key, the trace context and the client's name reach the handler") {
  const auto service =
      GENERATE(handler(), std::string{"h=cmd:sh -c 'test -n \"$ROPEWALK_ID\" && echo -n "
                                      "$ROPEWALK_KEY/$ROPEWALK_TRACE/$ROPEWALK_CLIENT'"});
  cluster c;
  c.start_node("a", {"--service", service, "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  const auto request = [](std::uint64_t id, std::string_view key, std::string_view trace,
                          const std::string& body) {
    field_writer fields;
    fields.text(field::service, "h");
    if (!key.empty()) fields.text(field::key, key);
    if (!trace.empty()) fields.text(field::trace, trace);
    std::vector<char> bytes;
    append_frame(bytes, frame_kind::request, error_code::ok, id, fields.bytes(), body);
    return std::string{bytes.begin(), bytes.end()};
  };
  const auto answer = [&](std::string_view key, std::string_view trace, const std::string& body) {
    raw connection{c.clients()};
    connection.send(request(1, key, trace, body));
    const auto said = connection.receive([](const std::string& s) {
      if (s.size() < frame_header_bytes) return false;
      frame_header head;
      read_header(s.data(), head);
      return s.size() >= head.length + 4;
    });
    return said.substr(std::min(said.size(), frame_header_bytes));
  };
  CHECK(answer("", "", "fields") == "//");
  CHECK(answer("k1", "", "fields") == "k1//");
  CHECK(answer("", "00-trace-01", "fields") == "/00-trace-01/");
  CHECK(answer("k1", "00-trace-01", "fields") == "k1/00-trace-01/");
  if (service != handler()) return;
  const std::string large(200'000, 'x');
  CHECK(answer("k", "t", "echo " + large) == large);
}

TEST_CASE("a handler is told which request it has, the same at every start of it") {
  cluster c;
  auto& node = c.start_node("a", node_of({"--slots", "2", "--set", "h.retry-failed=true"}));
  auto connection = ready_client(c);
  std::set<std::string> numbers;
  for (int i = 0; i < 3; ++i) {
    const auto answer = ask(connection, "number");
    REQUIRE(answer.starts_with("OK "));
    const auto line = "says: number " + answer.substr(3) + "\n";
    CHECK(eventually([&] {
      const auto log = node.log();
      return log.find(line) != log.rfind(line); // both starts said it
    }));
    numbers.insert(answer);
  }
  CHECK(numbers.size() == 3);
}

TEST_CASE("the name by which a broker knows a client reaches the handler") {
  cluster before;
  const auto made =
      before.run({"token", "alice", "--services", "h", "--to", before.folder() + "/alice"});
  REQUIRE(made.status == 0);
  const auto access = before.folder() + "/access";
  std::ofstream{access} << made.err << made.out;
  cluster c{{"--access-file", access}};
  c.start_node("a", node_of({"--slots", "1"}));
  output answer;
  REQUIRE(eventually([&] {
    answer = c.run({"send", "h", "--data", "fields", "--key", "k", "--broker", c.clients().text(),
                    "--token-file", before.folder() + "/alice"});
    return answer.status == 0;
  }));
  CHECK(answer.out.find("k//alice") == 0);
}
