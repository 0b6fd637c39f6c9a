#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/terminal.hpp"
#include "tests/matches.hpp"

#include <algorithm>
#include <csignal>
#include <functional>
#include <sstream>

using namespace ropewalk;

/// `ropewalk top` and `ropewalk status --watch` on a terminal: what they draw, and how they leave it.

namespace {

std::vector<std::string> top_of(const cluster& c, const std::vector<std::string>& more = {}) {
  std::vector<std::string> words{"top", "--broker", c.clients().text(), "--delay", "100ms"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

// What ends it, and what it is to end with.
struct ending {
  const char* name;
  std::function<void(terminal&)> how;
};

const std::vector<ending> endings{
    {"q", [](terminal& t) { t.type("q"); }},
    {"SIGINT", [](terminal& t) { t.signal(SIGINT); }},
    {"SIGTERM", [](terminal& t) { t.signal(SIGTERM); }},
    {"Ctrl-C", [](terminal& t) { t.type("\x03"); }},
};

} // namespace

TEST_CASE(
    "top shows services, nodes and clients, and a node that is killed is gone within a second") {
  for (const std::string shards : {"1", "2"}) {
    cluster c{{"--shards", shards}};
    c.start_node("left", {"--service", "echo=builtin:echo"});
    auto& right = c.start_node("right", {"--service", "shout=builtin:upper"});
    REQUIRE(c.has_nodes(2));
    terminal t{top_of(c)};
    INFO(t.text());
    REQUIRE(t.shows("SERVICE"));
    CHECK(t.shows("echo"));
    CHECK(t.shows("shout"));
    CHECK(t.lines()[0].starts_with("ropewalk top  " + c.clients().text()));
    t.type("2");
    REQUIRE(t.shows("NODE"));
    CHECK(t.shows("right"));
    CHECK(contains(t.text(), "FAILED"));
    right.signal(SIGKILL);
    CHECK(t.shows_no("right", 1s * time_factor));
    CHECK(contains(t.text(), "left"));
    auto client = c.connect();
    REQUIRE(client.call("echo", "x", {10s}).code == error_code::ok);
    t.type("3");
    REQUIRE(t.shows("CLIENT"));
    CHECK(t.shows("open"));
    t.type("q");
    CHECK(t.wait() == 0);
  }
}

TEST_CASE("top gives the terminal back as it was, whatever ends it") {
  cluster c;
  for (const auto& one : endings) {
    INFO(one.name);
    terminal t{top_of(c)};
    REQUIRE(t.shows("SERVICE"));
    CHECK_FALSE(t.is_as_it_was());
    one.how(t);
    CHECK(t.wait() == 0);
    CHECK(t.is_as_it_was());
  }
  terminal t{top_of(c)};
  REQUIRE(t.shows("SERVICE"));
  t.hang_up();
  CHECK(t.wait() == 0);
}

TEST_CASE("top goes on when its broker does, and says since when it is gone") {
  cluster c;
  c.start_node("left", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  terminal t{top_of(c)};
  REQUIRE(t.shows("echo"));
  c.broker().signal(SIGKILL);
  REQUIRE(c.broker().wait(10s));
  CHECK(t.shows("no broker for"));
  CHECK(contains(t.text(), "echo")); // as it was last
  c.restart_broker();
  CHECK(t.shows_no("no broker for"));
  CHECK(t.shows("echo"));
  t.type("q");
  CHECK(t.wait() == 0);
}

TEST_CASE("top draws anew when the terminal has another size, down to a few columns") {
  cluster c;
  c.start_node("left", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  terminal t{top_of(c)};
  REQUIRE(t.shows("FAILING"));
  t.resize(40, 12);
  CHECK(t.shows_no("FAILING"));
  CHECK(t.shows("echo"));
  CHECK(t.shows("h help  q end"));
  t.resize(3, 2);
  t.resize(120, 30);
  CHECK(t.shows("ANSWERED"));
  CHECK(t.shows("echo"));
  t.type("q");
  CHECK(t.wait() == 0);
}

TEST_CASE("top answers to its keys") {
  cluster c;
  c.start_node("left", {"--service", "echo=builtin:echo", "--service", "shout=builtin:upper"});
  REQUIRE(c.has_nodes(1));
  terminal t{top_of(c, {"--sort", "answered"})};
  REQUIRE(t.shows("by answered, most first"));
  t.type("/sho");
  CHECK(t.shows_no("echo"));
  t.type("\r");
  CHECK(t.shows("only 'sho'"));
  t.type("\x1b");
  CHECK(t.shows("echo"));
  t.type("h");
  CHECK(t.shows("the other way round"));
  t.type("\x1b[C"); // any key leaves it: an arrow
  CHECK(t.shows("SERVICE"));
  t.type("\x1bOC");
  CHECK(t.shows("NODE"));
  t.type("d2s\r");
  CHECK(t.shows("h help  q end"));
  t.type("q");
  CHECK(t.wait() == 0);
}

TEST_CASE("top says what it cannot do: a terminal that places nothing, or none, or no broker") {
  cluster c;
  for (const auto* name : {"dumb", "no-such-terminal", ""}) {
    INFO(name);
    terminal t{top_of(c), {80, 24, {{"TERM", name}}}};
    CHECK(t.wait() == 2);
    CHECK(contains(t.written(), "--once"));
    CHECK_FALSE(contains(t.written(), "\x1b"));
    CHECK(t.is_as_it_was());
  }
  const auto piped = c.run(top_of(c));
  CHECK(piped.status == 2);
  CHECK(contains(piped.err, "this is no terminal; say --once"));
  c.broker().signal(SIGKILL);
  REQUIRE(c.broker().wait(10s));
  terminal t{top_of(c)};
  CHECK(t.wait() == 3);
  CHECK(contains(t.written(), "ropewalk top: "));
  CHECK(t.is_as_it_was());
}

TEST_CASE("top uses no colour where none is wanted, and is to be read all the same") {
  cluster c;
  // Something to be alarmed about: a service that fails.
  c.start_node("left", {"--service", "broken=cmd:false"});
  REQUIRE(c.has_nodes(1));
  for (const bool colour : {true, false}) {
    auto asking = c.connect();
    terminal::options how;
    if (!colour) how.environment.emplace("NO_COLOR", "1");
    terminal t{top_of(c), how};
    REQUIRE(t.shows("SERVICE"));
    const auto yellow = [&] { return contains(t.written(), "\x1b[33m"); };
    CHECK(eventually([&] {
      (void)asking.call("broken", "x", {10s});
      const auto& text = t.written();
      return colour ? yellow() : contains(text, "1m") && contains(t.text(), "broken");
    }));
    CHECK(yellow() == colour);
    t.type("q");
    CHECK(t.wait() == 0);
  }
}

TEST_CASE("top for scripts prints tables, or JSON with the rates of nodes and clients") {
  cluster c{{"--shards", "2"}};
  c.start_node("left", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto page = c.run(top_of(c, {"--once"}));
  CHECK(page.status == 0);
  CHECK(page.err.empty());
  for (const auto* title : {"SERVICE", "NODE", "CLIENT", "\necho ", "\nleft "})
    CHECK(contains(page.out, title));
  const auto nodes = c.run(top_of(c, {"--once", "--view", "nodes"}));
  CHECK_FALSE(contains(nodes.out, "SERVICE "));
  CHECK(contains(nodes.out, "\nleft "));
  const auto json = c.run(top_of(c, {"--once", "--json"}));
  CHECK(json.status == 0);
  const auto said = nlohmann::json::parse(json.out);
  CHECK(said["nodes"][0].contains("answered_per_second"));
  CHECK(said["clients"][0].contains("requests_per_second"));
  CHECK(said["services"][0]["name"] == "echo");
  const auto wrong = c.run(top_of(c, {"--once", "--sort", "beauty"}));
  CHECK(wrong.status == 2);
  CHECK(contains(wrong.err, "services: service waiting oldest"));
  const auto full = run_ropewalk(top_of(c, {"--once"}), c.folder(), "/dev/full");
  CHECK(full.status == 4);
}

TEST_CASE("what takes long says on a terminal how far it is, and nothing in a pipe") {
  cluster c;
  c.start_node("left", {"--service", "nap=cmd:sleep 0.25", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  const std::vector<std::string> send{
      "send", "nap", "--data", "x", "--broker", c.clients().text(), "--count", "10"};
  auto words = send;
  words.insert(words.begin(), ROPEWALK_PROGRAM);
  process piped{words, c.folder() + "/piped"};
  terminal t{send};
  CHECK(t.shows(" of 10 answered, 0 errors, "));
  CHECK(t.shows("s left"));
  CHECK(t.wait() == 0);
  CHECK_FALSE(contains(t.text(), "answered")); // it is taken away
  CHECK(piped.wait(10s) == 0);
  CHECK(piped.log() == std::string(10, '\n')); // the replies, which are empty
}

TEST_CASE("status --watch stays one screen, says when the broker is gone, and ends well") {
  cluster c;
  c.start_node("left", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  terminal t{{"status", "--watch=100ms", "--broker", c.clients().text()},
             {80, 12, {{"TERM", "xterm"}}}};
  REQUIRE(t.shows("SERVICE"));
  CHECK(t.shows("1 nodes"));
  for (int i = 0; i < 6; ++i)
    c.start_node("n" + std::to_string(i), {"--service", "echo=builtin:echo"});
  CHECK(t.shows("7 nodes", 20s));
  CHECK(t.shows("more nodes (--json)"));
  CHECK(contains(t.text(), "SERVICE"));
  c.broker().signal(SIGKILL);
  REQUIRE(c.broker().wait(10s));
  CHECK(t.shows("no broker, trying again"));
  c.restart_broker();
  CHECK(t.shows_no("no broker"));
  t.signal(SIGINT);
  CHECK(t.wait() == 0);
  CHECK(t.is_as_it_was());
}

TEST_CASE("status --watch in a pipe is a table, or a line of JSON, each time") {
  cluster c;
  process watch{
      {ROPEWALK_PROGRAM, "status", "--json", "--watch=100ms", "--broker", c.clients().text()},
      c.folder() + "/watch"};
  const auto lines = [&] {
    const auto text = watch.log();
    return std::count(text.begin(), text.end(), '\n');
  };
  CHECK(eventually([&] { return lines() >= 3; }));
  watch.signal(SIGINT);
  CHECK(watch.wait(10s) == 0);
  std::istringstream in{watch.log()};
  for (std::string line; std::getline(in, line);)
    CHECK(nlohmann::json::parse(line).contains("services"));
  process table{{ROPEWALK_PROGRAM, "status", "--watch=200ms", "--broker", c.clients().text()},
                c.folder() + "/table"};
  CHECK(table.says("in, 0/s out"));
  c.broker().signal(SIGKILL);
  CHECK(table.says("no broker, trying again"));
  c.restart_broker();
  CHECK(table.says("the broker is back"));
  table.signal(SIGTERM);
  CHECK(table.wait(10s) == 0);
  CHECK_FALSE(contains(table.log(), "\x1b"));
}
