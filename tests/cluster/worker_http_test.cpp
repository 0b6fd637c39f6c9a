#include "tests/cluster/exec_handler.hpp"
#include "tests/cluster/free_ports.hpp"
#include "tests/cluster/raw.hpp"

#include <csignal>
#include <fstream>

using namespace ropewalk;

/// What a worker says over HTTP.

namespace {

const std::vector<std::string> with_http{"--http", "127.0.0.1:0"};

endpoint http_of(const process& node) {
  REQUIRE(node.says("ready for HTTP: http="));
  const auto log = node.log();
  const auto begin = log.rfind(" http=") + 6;
  return *parse_endpoint(log.substr(begin, log.find_first_of(" \n,\"", begin) - begin));
}

// The whole answer; nothing if nobody listens.
std::string get(const endpoint& where, const std::string& path) {
  try {
    raw client{where};
    client.send("GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    return client.receive([](const std::string&) { return false; });
  } catch (const std::runtime_error&) {
    return {};
  }
}

bool is(const std::string& answer, int status) {
  return answer.starts_with("HTTP/1.1 " + std::to_string(status) + " ");
}

bool becomes(const endpoint& where, const std::string& path, const std::string& what) {
  std::string last;
  const bool good = eventually([&] {
    last = get(where, path);
    return last.find(what) != std::string::npos;
  });
  UNSCOPED_INFO(last);
  return good;
}

std::string sample(const std::string& name, const std::string& value,
                   const std::string& service = "h") {
  return "\nropewalk_worker_service_" + name + "{service=\"" + service + "\"} " + value + "\n";
}

nlohmann::json status_of(const endpoint& where) {
  const auto answer = get(where, "/status");
  const auto body = answer.find("\r\n\r\n");
  return body == std::string::npos ? nlohmann::json{}
                                   : nlohmann::json::parse(answer.substr(body + 4));
}

} // namespace

TEST_CASE(
    "a worker's numbers are as Prometheus' own checker wants them, and follow when a handler is "
    "killed") {
  cluster c;
  auto& node = c.start_node(
      "a",
      node_of(with_http + std::vector<std::string>{"--service", "no=cmd:false", "--slots", "1"}));
  auto connection = ready_client(c);
  const auto where = http_of(node);
  CHECK(connection.call("no", "x").code == error_code::failed);
  const auto pid = static_cast<pid_t>(std::stol(ask(connection, "pid").substr(3)));
  REQUIRE(becomes(where, "/readyz", "\r\n\r\nready\n"));
  process scrape{{"/usr/bin/curl", "-s", "http://" + where.text() + "/metrics"},
                 c.folder() + "/metrics"};
  REQUIRE(scrape.wait(10s) == 0);
  const auto text = scrape.log();
  INFO(text);
  const auto says = [&](const std::string& what) { return text.find(what) != std::string::npos; };
  CHECK(says(sample("runs_begun_total", "2")));
  CHECK(says(sample("processes", "1")));
  CHECK(says(sample("restarts_total", "0")));
  CHECK(says(sample("slots_ready", "1")));
  CHECK(says("runs_ended_total{service=\"no\",outcome=\"failed\"} 1\n"));
  CHECK(says("\nropewalk_worker_joins_total 1\n"));
  CHECK_FALSE(says(sample("processes_memory_bytes", "0")));
  CHECK_FALSE(says("\nropewalk_worker_programs_memory_bytes 0\n"));
  process checked{{"/bin/sh", "-c", "promtool check metrics <" + scrape.log_path()},
                  c.folder() + "/promtool"};
  CHECK(checked.wait(20s) == 0);
  CHECK(checked.log().empty());

  ::kill(pid, SIGKILL);
  CHECK(becomes(where, "/metrics", sample("restarts_total", "1")));
  CHECK(becomes(where, "/metrics", sample("slots_ready", "1")));
  CHECK(ask(connection, "die 9", {.attempts = 1}).starts_with("WORKER_LOST"));
  CHECK(becomes(where, "/metrics", "runs_ended_total{service=\"h\",outcome=\"crashed\"} 1\n"));
}

TEST_CASE(
    "a worker lives while its broker is away, is ready when it is back on all shards, and says "
    "which is so") {
  cluster c{{"--shards", "2"}, free_ports(2)};
  auto& node =
      c.start_node("a", with_http + std::vector<std::string>{"--service", "up=builtin:upper"});
  const auto where = http_of(node);
  REQUIRE(becomes(where, "/readyz", "\r\n\r\nready\n"));
  CHECK(status_of(where)["shards_joined"] == 2);
  c.broker().signal(SIGKILL);
  REQUIRE(becomes(where, "/readyz", "not ready: it is no member of the broker at "));
  CHECK(is(get(where, "/readyz"), 503));
  CHECK(is(get(where, "/healthz"), 200));
  c.restart_broker();
  REQUIRE(becomes(where, "/readyz", "\r\n\r\nready\n"));
  CHECK(status_of(where)["joins"] >= 4);
  const process own{
      {ROPEWALK_PROGRAMS "/example_worker", "--broker", c.nodes().text(), "--http", "127.0.0.1:0"},
      c.folder() + "/own"};
  CHECK(becomes(http_of(own), "/readyz", "\r\n\r\nready\n"));
  node.signal(SIGHUP);
  REQUIRE(node.says("nothing to reload"));
  CHECK(is(get(where, "/readyz"), 200));
}

TEST_CASE("who holds a worker's HTTP connections takes no descriptors from its messages") {
  cluster c;
  const process node{{"/bin/sh", "-c",
                      "ulimit -n 128; exec " ROPEWALK_PROGRAM " worker --name a --broker " +
                          c.nodes().text() +
                          " --http 127.0.0.1:0 --slots 100 --service 'cat=cmd:cat'"},
                     c.folder() + "/a.log"};
  REQUIRE(c.has_nodes(1));
  const auto where = http_of(node);
  std::vector<std::unique_ptr<raw>> held;
  for (int i = 0; i < 150; ++i) held.push_back(std::make_unique<raw>(where));
  load l{c.connect(), "cat", 200, 100, [](std::uint64_t id) { return std::to_string(id); }};
  l.run(30s);
  CHECK(l.answered == 200);
  CHECK(l.errors.empty());
  CHECK(node.log().find("out of file descriptors") == std::string::npos);
  held.clear();
  CHECK(becomes(where, "/healthz", " 200 "));
}

TEST_CASE("a worker whose slots are all busy answers, and while it drains, too") {
  cluster c;
  auto& node = c.start_node(
      "a", with_http + std::vector<std::string>{"--service", "nap=builtin:sleep", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  const auto where = http_of(node);
  auto connection = std::make_unique<client>(c.connect());
  connection->send("nap", shared_bytes::copy_of("600000"));
  REQUIRE(connection->flush());
  REQUIRE(becomes(where, "/metrics", sample("slots_busy", "1", "nap")));
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) REQUIRE(is(get(where, "/healthz"), 200));
  CHECK(std::chrono::steady_clock::now() - begin < 2s * time_factor);
  node.signal(SIGTERM);
  REQUIRE(becomes(where, "/readyz", "\r\n\r\ndraining\n"));
  CHECK(is(get(where, "/healthz"), 200));
  CHECK(status_of(where)["draining"] == true);
  CHECK(status_of(where)["services"][0]["slots_busy"] == 1);
  connection.reset(); // which takes it back
  CHECK(node.wait(10s) == 0);
}

TEST_CASE(
    "each process of a master has a port of its own, which the one that replaces it has next") {
  const auto first = free_ports(2);
  cluster c;
  auto& master =
      c.start_node("a", {"--service", "up=builtin:upper", "--processes", "2", "--recycle-after",
                         "10", "--http", "127.0.0.1:" + std::to_string(first)});
  const auto port = [&](int place) {
    return endpoint{"127.0.0.1", static_cast<std::uint16_t>(first + place)};
  };
  for (const int place : {0, 1}) {
    REQUIRE(becomes(port(place), "/readyz", "\r\n\r\nready\n"));
    CHECK(status_of(port(place))["name"] == "a-" + std::to_string(place + 1));
  }
  const auto pid = status_of(port(0))["pid"];
  auto connection = c.connect();
  nlohmann::json now;
  CHECK(eventually([&] {
    (void)connection.call("up", "x");
    now = status_of(port(0));
    return now.is_object() && now["pid"] != pid && now["ready"] == true;
  }));
  CHECK(now["name"].get<std::string>().starts_with("a-1."));
  master.signal(SIGTERM);
  CHECK(master.wait(20s) == 0);
}

TEST_CASE(
    "a worker's HTTP port that cannot be had, or anybody could reach, is said before anything "
    "starts") {
  temporary_folder folder;
  const auto worker = [&](const std::vector<std::string>& options) {
    return run_ropewalk(std::vector<std::string>{"worker", "--service", "up=builtin:upper"} +
                            options,
                        folder.path());
  };
  const auto says = [](const output& of, const std::string& what) {
    INFO(of.err);
    return of.err.find(what) != std::string::npos;
  };
  const auto open = worker({"--check", "--http", "0.0.0.0:0"});
  CHECK(open.status == 2);
  CHECK(says(open, "--insecure-http"));
  CHECK(worker({"--check", "--http", "0.0.0.0:0", "--insecure-http"}).status == 0);
  std::ofstream{folder.path() + "/access"}
      << run_ropewalk({"token", "p", "--services", "@status"}, folder.path()).err;
  CHECK(worker({"--check", "--http", "0.0.0.0:0", "--access-file", folder.path() + "/access"})
            .status == 0);
  CHECK(
      says(worker({"--check", "--http", "localhost:0", "--access-file", "/nowhere"}), "/nowhere"));
  CHECK(says(worker({"--check", "--access-file", folder.path() + "/access"}), "say --http"));
  CHECK(says(worker({"--check", "--http", "127.0.0.1:65535", "--processes", "2"}), "beyond 65535"));
  CHECK(says(worker({"--check", "--http", "9100"}), "--http"));
  const auto taken = listen_tcp({"127.0.0.1", 0});
  REQUIRE(taken);
  const auto port = local_endpoint(taken->get());
  for (const auto* processes : {"1", "2"}) {
    const auto late = worker({"--http", port.text(), "--processes", processes});
    CHECK(late.status == 1);
    CHECK(says(late, "cannot start: "));
    CHECK(says(late, port.text()));
  }
}
