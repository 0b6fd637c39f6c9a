#include "tests/cluster/exec_handler.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

using namespace ropewalk;

namespace fs = std::filesystem;

// SIGHUP of a worker whose services stand in a file: what is new, changed and gone.

namespace {

// A file of options that is written as a whole, as a good editor does.
class options_file {
public:
  explicit options_file(const cluster& c) : path_(c.folder() + "/worker.toml") {}

  void write(const std::string& services) const {
    std::ofstream{path_ + ".new"} << "[worker]\nslots = 2\n" << services;
    fs::rename(path_ + ".new", path_);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

private:
  std::string path_;
};

std::string handler_that_says(const std::string& version, const std::string& more = {}) {
  return "[worker.service.h]\nhandler = \"exec:python3 " ROPEWALK_SOURCE_DIR
         "/tests/cluster/handler.py --say " +
         version + "\"\n" + more;
}

bool says_in_time(const process& node, const std::string& text) {
  return eventually([&] { return node.log().find(text) != std::string::npos; }, 20s);
}

} // namespace

namespace {

// Who answered with which version, from when to when, at each node.
class version_log {
public:
  // "VERSION NODE".
  void add(std::string_view answer) {
    const auto now = std::chrono::steady_clock::now();
    const auto blank = answer.find(' ');
    const int version = std::stoi(std::string{answer.substr(1, blank - 1)}); // without its v
    auto& first = first_[std::string{answer.substr(blank + 1)}];
    first.try_emplace(version, now);
    newest_ = std::max(newest_, version);
    if (const auto newer = first.upper_bound(version); newer != first.end())
      overlap_ = std::max(overlap_, now - newer->second);
  }

  [[nodiscard]] int newest() const { return newest_; }

  /// The longest that a version still answered after a newer one had at the same node.
  [[nodiscard]] std::chrono::steady_clock::duration overlap() const { return overlap_; }

private:
  std::map<std::string, std::map<int, std::chrono::steady_clock::time_point>> first_;
  int newest_ = 0;
  std::chrono::steady_clock::duration overlap_{0};
};

} // namespace

TEST_CASE("a reload every second under full load: no error, and no answer of an old version longer "
          "than stop-timeout after the new one was ready",
          "[endurance]") {
  const bool has_master = GENERATE(false, true);
  const auto stop_timeout = 1s;
  const std::string more = "stop-timeout = \"1s\"\n";
  cluster c;
  const options_file file{c};
  file.write(handler_that_says("v1", more));
  auto& node = c.start_node(
      "a", has_master ? std::vector<std::string>{"--config", file.path(), "--processes", "2"}
                      : std::vector<std::string>{"--config", file.path()});
  auto connection = ready_client(c, has_master ? 2 : 1);
  load l{c.connect(), "h", 20'000'000, 8, [](std::uint64_t) { return std::string{"site"}; }};
  l.expects_echo = false;
  version_log versions;
  l.on_answer = [&](const client_answer& answer) {
    if (answer.code == error_code::ok) versions.add(answer.payload.view());
  };
  int version = 1;
  const auto lasting = has_master ? how_long(3) : how_long(10);
  const auto end = std::chrono::steady_clock::now() + lasting;
  auto reloaded = std::chrono::steady_clock::now();
  l.run(lasting + 60s, [&](std::uint64_t) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= end && versions.newest() >= 3) return l.finish();
    if (now - reloaded < 1s) return;
    file.write(handler_that_says("v" + std::to_string(++version), more));
    node.signal(SIGHUP);
    reloaded = now;
  });
  const auto last = "OK v" + std::to_string(version);
  int in_a_row = 0; // with two processes, either may answer
  CHECK(eventually(
      [&] {
        in_a_row = ask(connection, "version") == last ? in_a_row + 1 : 0;
        return in_a_row >= 50;
      },
      20s));
  INFO(l.last_error);
  CHECK(versions.newest() >= 3);
  CHECK(versions.overlap() <= stop_timeout);
  CHECK(l.errors.empty());
  CHECK(l.twice == 0);
  CHECK(l.answered == l.asked());
  const auto status = c.status();
  CHECK(status["redispatched"] == 0);
  CHECK(status["restarts"] == 0);
  CHECK(c.has_nodes(has_master ? 2 : 1));
}

TEST_CASE("a reload brings services, takes some away, and says what it did with each") {
  cluster c;
  const options_file file{c};
  const std::string keep = "[worker.service.keep]\nhandler = \"builtin:echo\"\n";
  file.write(keep + "[worker.service.old]\nhandler = \"cmd:sh -c 'touch " + c.folder() +
             "/begun; sleep 1; echo -n old'\"\n" +
             "[worker.service.other]\nhandler = \"cmd:echo -n one\"\n");
  auto& node = c.start_node("a", {"--config", file.path()});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  CHECK(text(connection.call("other", "")) == "OK one");
  connection.send("old", shared_bytes::copy_of("x")); // runs while its service is taken away
  REQUIRE(connection.flush());
  REQUIRE(eventually([&] { return fs::exists(c.folder() + "/begun"); }));
  file.write(keep + "[worker.service.fresh]\nhandler = \"cmd:echo -n fresh\"\n" +
             "[worker.service.other]\nhandler = \"cmd:echo -n two\"\n");
  node.signal(SIGHUP);
  CHECK(says_in_time(node, "service keep is as it was"));
  CHECK(says_in_time(node, "service fresh is new: cmd:echo -n fresh"));
  CHECK(says_in_time(node, "service other is now cmd:echo -n two, in place of cmd:echo -n one"));
  CHECK(says_in_time(node, "service old is offered no more, and drains"));
  CHECK(text(connection.wait(10s)) == "OK old");
  CHECK(text(connection.call("fresh", "")) == "OK fresh");
  CHECK(text(connection.call("other", "")) == "OK two");
  CHECK(text(connection.call("keep", "x")) == "OK x");
  CHECK(says_in_time(node, "what was replaced has drained"));
  CHECK(eventually([&] { return c.status()["nodes"].size() == 1; }));
  CHECK(text(connection.call("old", "x", {.timeout = 200ms})).find("TIMEOUT") == 0);
  node.signal(SIGTERM);
  CHECK(node.wait(10s) == 0);
}

TEST_CASE("what does not start, and a file that makes no sense, leave what runs as it is") {
  cluster c;
  const options_file file{c};
  file.write(handler_that_says("v1"));
  auto& node = c.start_node("a", {"--config", file.path()});
  auto connection = ready_client(c);
  const auto pid = ask(connection, "pid");

  file.write("[worker.service.h]\nhandler = \"exec:sh -c 'echo no model; exit 3'\"\n" +
             std::string{"[worker.service.more]\nhandler = \"builtin:echo\"\n"});
  node.signal(SIGHUP);
  CHECK(says_in_time(node, "SIGHUP: service h does not start: it ended with exit status 3"));
  CHECK(says_in_time(node, "what was replaced has drained")); // the new one
  CHECK(ask(connection, "version") == "OK v1");
  CHECK(text(connection.call("more", "x")).find("NO_SERVICE") == 0);

  file.write(handler_that_says("v2", "slots = \"many\"\n"));
  node.signal(SIGHUP);
  CHECK(says_in_time(node, "'many' is no number"));
  file.write("[worker.service.h]\nhandler = \"exec:no-such-program\"\n");
  node.signal(SIGHUP);
  CHECK(says_in_time(node, "cannot find the program 'no-such-program'"));
  CHECK(ask(connection, "version") == "OK v1");

  file.write(handler_that_says("v3"));
  node.signal(SIGHUP);
  CHECK(eventually([&] { return ask(connection, "version") == "OK v3"; }, 20s));
  CHECK(c.status()["restarts"] == 0);
}

TEST_CASE("options that have changed come with a reload, and the file that has not changed brings "
          "fresh processes") {
  cluster c;
  const options_file file{c};
  file.write(handler_that_says("v1"));
  auto& node = c.start_node("a", {"--config", file.path(), "--set", "h.env=A=1"});
  auto connection = ready_client(c);
  const auto pid = ask(connection, "pid");
  node.signal(SIGHUP);
  CHECK(says_in_time(node, "SIGHUP: the processes of h are replaced by fresh ones"));
  file.write(handler_that_says("v1", "timeout = \"300ms\"\n"));
  node.signal(SIGHUP);
  CHECK(says_in_time(node, "service h has other options"));
  CHECK(eventually(
      [&] { return ask(connection, "sleep 1000", {.timeout = 5s}).find("TIMEOUT it ran") == 0; }));
}
