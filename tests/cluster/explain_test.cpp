#include "net/protocol/frame.hpp"
#include "net/transport/socket.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/terminal.hpp"
#include "tests/matches.hpp"

#include <array>
#include <csignal>
#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/socket.h>
#include <thread>

using namespace ropewalk;

/// What a broker says of single messages: of those that failed, and of those that wait.

namespace {

const std::string traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";

output explain(const cluster& c, std::vector<std::string> words) {
  words.insert(words.begin(), {"explain", "--broker", c.clients().text()});
  return c.run(words);
}

nlohmann::json explained(const cluster& c, std::vector<std::string> words) {
  words.emplace_back("--json");
  const auto said = explain(c, std::move(words));
  INFO(said.err);
  REQUIRE(said.status == 0);
  return nlohmann::json::parse(said.out)["messages"];
}

// The attempts that were begun: on a machine that has no time for its slot, one goes back before.
nlohmann::json runs_of(const nlohmann::json& message) {
  auto result = nlohmann::json::array();
  for (const auto& one : message["attempts"])
    if (one.value("end", "") != "returned") result.push_back(one);
  return result;
}

output send(const cluster& c, std::vector<std::string> words) {
  words.insert(words.begin(), {"send", "--broker", c.clients().text()});
  return c.run(words);
}

} // namespace

TEST_CASE("what strangers said does nothing to the terminal of who looks at it") {
  cluster c;
  c.start_node("a", {"--service", "fail=builtin:fail"});
  REQUIRE(c.has_nodes(1));
  REQUIRE(send(c, {"fail", "--data", "one\x1b]0;two\x07\xc2\x9b three\nfour"}).status == 1);
  const auto said = explain(c, {});
  INFO(said.out);
  for (const auto* bad : {"\x1b", "\x07", "\xc2\x9b"}) CHECK_FALSE(contains(said.out, bad));
  CHECK(contains(said.out, "one?]0;two?? three?four"));

  // Who has sent it sees its lines as they are. (A pipe gets the handler's bytes.)
  const auto broker = c.clients().text();
  terminal t{{"send", "fail", "--data", "one\x1b[2Jtwo\nthree\tfour", "--broker", broker}};
  CHECK(t.shows("FAILED: one?[2Jtwo"));
  CHECK(t.shows("three   four"));
  const auto piped = send(c, {"fail", "--data", "one\x1b[2Jtwo"});
  CHECK(contains(piped.err, "FAILED: one\x1b[2Jtwo"));
}

TEST_CASE("explain shows every attempt of a message that killed its workers, with signal, node and "
          "slot, and the end of stderr of one that failed") {
  cluster c{{"--log-format", "json"}};
  c.start_node("left", {"--service", "die=cmd:sh -c 'kill -SEGV $$'", "--service",
                        "fail=cmd:sh -c 'echo no such picture >&2; exit 3'", "--service",
                        "env=cmd:sh -c 'echo $ROPEWALK_TRACE $TRACEPARENT'", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  REQUIRE(send(c, {"die", "--data", "x"}).status == 1);
  REQUIRE(send(c, {"fail", "--data", "x", "--traceparent", traceparent}).status == 1);

  const auto failed = explained(c, {"--failed"});
  REQUIRE(failed.size() == 2);
  const auto& last = failed[0];
  INFO(last.dump());
  CHECK(last["code"] == "FAILED");
  CHECK(last["trace"] == trace);
  const auto run = runs_of(last).at(0);
  CHECK(contains(run["why"], "no such picture"));
  CHECK(run["ran_seconds"] > 0);
  const auto& lost = failed[1];
  CHECK(lost["code"] == "WORKER_LOST");
  const auto runs = runs_of(lost);
  REQUIRE(runs.size() == 3);
  for (int i = 0; i < 3; ++i) {
    const auto& one = runs[static_cast<std::size_t>(i)];
    INFO(one.dump());
    CHECK(one["attempt"] == i + 1);
    CHECK(one["node"] == "left");
    CHECK(one["slot"] == 1);
    CHECK(one["end"] == "crashed");
    CHECK(contains(one["why"], "signal 11"));
  }
  CHECK(explained(c, {"--failed", "--service", "die"}).size() == 1);
  CHECK(explained(c, {trace}).size() == 1);
  CHECK(explained(c, {lost["id"].get<std::string>()}).size() == 1);
  const auto text = explain(c, {"--failed"}).out;
  INFO(text);
  CHECK(contains(text, lost["id"].get<std::string>() + "  die  WORKER_LOST  after "));
  CHECK(contains(text, "crashed: "));
  CHECK(contains(text, "  trace " + trace));
  // The log says which it was.
  CHECK(c.broker().says("\"trace\":\"" + trace + "\""));
  CHECK(c.broker().says("\"request\":\"" + lost["id"].get<std::string>() + "\""));

  const auto nothing = explain(c, {"0.7.7-7"});
  CHECK(nothing.status == 1);
  CHECK(contains(nothing.err, "nothing is known of 0.7.7-7"));
  CHECK(explain(c, {"7"}).status == 1);
  CHECK(contains(explain(c, {"7"}).err, "names no message"));

  const auto own = send(c, {"env", "--data", "x", "--trace"});
  REQUIRE(own.status == 0);
  REQUIRE(own.err.starts_with("trace "));
  const auto id = own.err.substr(6, 32);
  CHECK(contains(own.out, "00-" + id));
  CHECK(own.out.find(id, own.out.find(id) + 1) != std::string::npos); // in both
  CHECK(contains(send(c, {"env", "--data", "x", "--traceparent", traceparent}).out,
                 traceparent + " " + traceparent));
  CHECK(send(c, {"env", "--data", "x", "--traceparent", "00-x"}).status == 2);
}

TEST_CASE("explain says what a message waits for, over all shards, and who took it back") {
  const int shards = GENERATE(1, 2);
  cluster c{{"--shards", std::to_string(shards)}};
  auto& node = c.start_node("left", {"--service", "slow=builtin:sleep", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  for (int i = 0; i < 40; ++i) connection.send("slow", shared_bytes::borrow("60000"), {60s});
  connection.flush();
  REQUIRE(eventually([&] { return explained(c, {"--open", "--limit", "100"}).size() == 40; }, 10s));
  const auto open = explained(c, {"--open", "--limit", "100"});
  const auto& first = open[0];
  CHECK(first["state"] == "with a node");
  CHECK(first["waits"] == "node left runs it");
  CHECK(runs_of(first).at(0)["node"] == "left");
  const auto& last = open[39];
  CHECK(last["state"] == "waiting");
  CHECK(contains(last["waits"], " of this service, all busy; "));
  CHECK(last["before"] > 20);

  node.signal(SIGKILL);
  REQUIRE(eventually(
      [&] {
        return contains(explain(c, {last["id"].get<std::string>()}).out,
                        "no node offers it; the last one left ");
      },
      10s));
  for (std::uint64_t id = 1; id <= 40; ++id) connection.cancel(id);
  connection.flush();
  REQUIRE(eventually([&] { return explained(c, {"--open"}).empty(); }, 10s));
  const auto taken_back = explained(c, {first["id"].get<std::string>()});
  REQUIRE(taken_back.size() == 1);
  CHECK(taken_back[0]["code"] == "CANCELLED");
  CHECK(runs_of(taken_back[0]).at(0)["end"] == "node lost");
}

TEST_CASE("a broker that says less than is looked for is of another release") {
  const auto words =
      GENERATE(std::vector<std::string>{"explain", "--failed"}, std::vector<std::string>{"status"});
  // One that answers STATUS with its numbers, whatever else it says.
  auto listener = listen_tcp({"127.0.0.1", 0});
  REQUIRE(listener);
  const auto where = local_endpoint(listener->get());
  std::thread broker{[&] {
    pollfd waiting{listener->get(), POLLIN, 0};
    if (::poll(&waiting, 1, 10'000) != 1) return;
    const descriptor client{::accept(listener->get(), nullptr, nullptr)};
    std::array<char, 512> asked{};
    std::vector<char> said;
    for (int frames = 0; frames < 2; ++frames) { // HELLO is one, where it comes
      const auto size = ::recv(client.get(), asked.data(), asked.size(), 0);
      if (size < static_cast<ssize_t>(frame_header_bytes)) break;
      frame_header head;
      read_header(asked.data(), head);
      said.clear();
      if (head.kind == frame_kind::hello)
        append_frame(said, frame_kind::hello_ok, error_code::ok, head.id, {}, {});
      else
        append_frame(said, frame_kind::status, error_code::ok, head.id, {}, R"({"nodes":[]})");
      if (::send(client.get(), said.data(), said.size(), MSG_NOSIGNAL) < 0) break;
    }
  }};
  const temporary_folder folder;
  auto with_broker = words;
  with_broker.insert(with_broker.end(), {"--broker", where.text()});
  const auto said = run_ropewalk(with_broker, folder.path());
  INFO(words.front() << ": " << said.err);
  broker.join();
  CHECK(said.status == 1);
  CHECK(
      contains(said.err,
               " is not understood: it is of another release; use the `ropewalk` of that release"));
}
