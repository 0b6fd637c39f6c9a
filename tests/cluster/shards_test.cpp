#include "tests/catch.hpp"
#include "tests/cluster/free_ports.hpp"
#include "tests/cluster/processes.hpp"

#include <csignal>
#include <set>
#include <thread>

/// A broker of several shards is one broker: what is promised of it is promised of all together.
using namespace ropewalk;

namespace {

// So many that it cannot be that a shard of three has none (once in 10^11).
constexpr int many_connections = 64;

std::vector<client> connect_many(const cluster& c, int count = many_connections) {
  std::vector<client> result;
  for (int i = 0; i < count; ++i) result.push_back(c.connect());
  return result;
}

void every_shard_answers(const cluster& c) {
  for (auto& connection : connect_many(c)) {
    const auto answer = connection.call("echo", "x", {10s});
    INFO(answer.payload.view());
    REQUIRE(answer.code == error_code::ok);
  }
}

// Loads on connections of their own, side by side.
class loads {
public:
  loads(const cluster& c, int count, std::uint64_t each) : each_(each) {
    for (int i = 0; i < count; ++i)
      loads_.push_back(std::make_unique<load>(c.connect(), "echo", each, 16,
                                              [](std::uint64_t id) { return std::to_string(id); }));
    for (auto& l : loads_)
      threads_.emplace_back([this, &l] { l->run(60s, [this](std::uint64_t) { ++answered_; }); });
  }
  loads(const loads&) = delete;
  loads& operator=(const loads&) = delete;
  ~loads() { join(); }

  void wait_for(std::uint64_t answers) const {
    REQUIRE(eventually([&] { return answered_ >= answers; }, 60s));
  }

  void none_lost_none_twice() {
    join();
    for (const auto& l : loads_) {
      INFO(l->last_error);
      CHECK(l->errors == std::map<std::string, std::uint64_t>{});
      CHECK(l->missing() == 0);
      CHECK(l->twice == 0);
      CHECK(l->wrong == 0);
      REQUIRE(l->answered == each_);
    }
  }

private:
  void join() {
    for (auto& t : threads_)
      if (t.joinable()) t.join();
  }

  std::uint64_t each_;
  std::atomic<std::uint64_t> answered_{0};
  std::vector<std::unique_ptr<load>> loads_;
  std::vector<std::thread> threads_;
};

} // namespace

TEST_CASE("clients are spread over the shards, and the status adds all of them up") {
  cluster c{{"--shards", "3"}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--slots", "2"});
  c.start_node("b", {"--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(c.has_nodes(2));
  auto connections = connect_many(c);
  for (auto& connection : connections)
    for (int i = 0; i < 10; ++i) REQUIRE(connection.call("echo", "x").code == error_code::ok);
  const auto s = c.status();
  INFO(s.dump());
  REQUIRE(s["answered"] == 10 * many_connections);
  REQUIRE(s["connections"] == many_connections + 1);
  REQUIRE(s["nodes"].size() == 2);
  REQUIRE(s["nodes"][0]["slots"] == 2);
  REQUIRE(s["nodes"][0]["answered"].get<int>() + s["nodes"][1]["answered"].get<int>() ==
          10 * many_connections);
  REQUIRE(s["shards"].size() == 3);
  int of_shards = 0;
  for (int i = 0; i < 3; ++i) {
    REQUIRE(s["shards"][i]["shard"] == i);
    REQUIRE(s["shards"][i]["connections"] > 0);
    REQUIRE(s["shards"][i]["answered"] > 0);
    of_shards += s["shards"][i]["answered"].get<int>();
  }
  REQUIRE(of_shards == 10 * many_connections);
}

TEST_CASE("status is answered once for each time it was asked for, whichever shard hears it") {
  cluster c{{"--shards", "3"}};
  for (auto& connection : connect_many(c, 16)) {
    std::set<std::uint64_t> asked;
    for (int i = 0; i < 20; ++i) asked.insert(connection.send_status());
    while (!asked.empty()) {
      const auto answer = connection.wait(10s);
      REQUIRE(answer);
      REQUIRE(asked.erase(answer->id) == 1);
      REQUIRE(nlohmann::json::parse(answer->payload.view())["shards"].size() == 3);
    }
  }
}

TEST_CASE("a request may come before its node has joined that shard: it waits") {
  cluster c{{"--shards", "4"}};
  auto connections = connect_many(c);
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1)); // one of them at least knows it
  for (auto& connection : connections) REQUIRE(connection.call("echo", "x").payload.view() == "x");
}

TEST_CASE("shards: kill -9 of nodes under load loses nothing, and answers nothing twice") {
  cluster c{{"--shards", "3"}};
  std::vector<process*> nodes;
  const auto start = [&] {
    nodes.push_back(&c.start_node("n" + std::to_string(nodes.size()),
                                  {"--service", "echo=builtin:echo", "--slots", "2"}));
  };
  for (int i = 0; i < 3; ++i) start();
  REQUIRE(c.has_nodes(3));
  loads l{c, 12, 3000};
  for (std::size_t i = 0; i < 4; ++i) {
    l.wait_for(4000 * (i + 1));
    nodes[i]->signal(SIGKILL);
    start();
  }
  l.none_lost_none_twice();
  REQUIRE(c.has_nodes(3));
}

TEST_CASE("shards: a node that is drained under load leaves all of them, and loses nothing") {
  cluster c{{"--shards", "3"}};
  auto* old = &c.start_node("n0", {"--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  loads l{c, 12, 2000};
  for (int i = 1; i <= 3; ++i) {
    l.wait_for(5000u * static_cast<unsigned>(i));
    auto* fresh =
        &c.start_node("n" + std::to_string(i), {"--service", "echo=builtin:echo", "--slots", "2"});
    REQUIRE(c.has_nodes(2));
    old->signal(SIGTERM);
    REQUIRE(old->wait(10s) == 0);
    old = fresh;
  }
  l.none_lost_none_twice();
  REQUIRE(c.status()["redispatched"] == 0);
}

TEST_CASE("shards: nodes outlive their broker and join every shard of the next one") {
  cluster c{{"--shards", "3"}, free_ports(3)};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  every_shard_answers(c);
  for (int round = 0; round < 2; ++round) {
    c.broker().signal(SIGKILL);
    REQUIRE(c.broker().wait(5s));
    c.start_broker();
    REQUIRE(c.has_nodes(1));
    every_shard_answers(c);
  }
}

TEST_CASE("shards: a broker that is told to end answers what it was asked, on every shard") {
  cluster c{{"--shards", "3"}};
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "64"});
  REQUIRE(c.has_nodes(1));
  auto connections = connect_many(c);
  for (auto& connection : connections) {
    connection.send("sleep", shared_bytes::copy_of("500"));
    connection.flush();
  }
  REQUIRE(eventually([&] { return c.status()["in_flight"] == many_connections; }));
  c.broker().signal(SIGTERM);
  for (auto& connection : connections) {
    const auto answer = connection.wait(10s);
    REQUIRE(answer);
    REQUIRE(answer->code == error_code::ok);
  }
  REQUIRE(c.broker().wait(10s) == 0);
}

TEST_CASE("shards: the limit on connections is of all of them together") {
  cluster c{{"--shards", "3", "--connections", "20"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  std::vector<client> connections;
  int in = 0;
  for (int i = 0; i < 30; ++i) {
    connections.push_back(c.connect());
    if (connections.back().call("echo", "x", {10s}).code == error_code::ok) ++in;
  }
  REQUIRE(in == 20);
  REQUIRE(c.broker().says("too many connections"));
  connections.clear();
  REQUIRE(eventually([&] { return c.connect().call("echo", "x", {10s}).payload.view() == "x"; }));
  REQUIRE(eventually([&] { return c.status()["connections"] == 1; }));
}

TEST_CASE("shards: an ordering key, which would hold on one of them only, is refused") {
  cluster c{{"--shards", "2"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  request_options with_key;
  with_key.key = "customer 7";
  const auto refused = connection.call("echo", "x", with_key);
  REQUIRE(refused.code == error_code::bad_request);
  REQUIRE(refused.payload.view().find("--shards") != std::string_view::npos);
  REQUIRE(connection.call("echo", "x").code == error_code::ok);
}

TEST_CASE("shards: a port that is taken is not shared with whoever has it") {
  const std::string shards = GENERATE("1", "2");
  cluster c{{"--shards", shards}};
  const auto second = c.run(
      {"broker", "--listen", c.clients().text(), "--cluster", "127.0.0.1:0", "--shards", "2"});
  REQUIRE(second.status == 1);
  REQUIRE(second.err.find("another process listens there") != std::string::npos);
  const auto third = c.run({"broker", "--listen", c.clients().text(), "--cluster", "127.0.0.1:0"});
  REQUIRE(third.status == 1);
  REQUIRE(third.err.find("another process listens there") != std::string::npos);
}

TEST_CASE("shards: cluster ports beyond the last port are refused") {
  const temporary_folder folder;
  const auto result = run_ropewalk(
      {"broker", "--listen", "127.0.0.1:0", "--cluster", "127.0.0.1:65530", "--shards", "8"},
      folder.path());
  REQUIRE(result.status == 2);
  REQUIRE(result.err.find("choose a lower one") != std::string::npos);
}
