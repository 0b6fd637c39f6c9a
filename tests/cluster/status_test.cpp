#include "tests/catch.hpp"
#include "tests/cluster/certificates.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"
#include "tests/matches.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>

using namespace ropewalk;

/// What `ropewalk status` says and how it ends, which is what health checks and scripts read.

namespace {

// A broker that asks for tokens, and one that it knows.
struct with_tokens {
  with_tokens() {
    const auto made = run_ropewalk({"token", "health"}, folder.path());
    std::ofstream{folder.path() + "/token"} << made.out;
    std::ofstream{folder.path() + "/access"} << made.err;
  }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return folder.path() + "/" + name;
  }
  temporary_folder folder;
};

} // namespace

TEST_CASE(
    "status of a broker that asks for a token says so and fails, as JSON too, and never dies") {
  const with_tokens files;
  cluster c{{"--access-file", files / "access"}};
  const auto broker = c.clients().text();
  for (const auto& words : {std::vector<std::string>{}, {"--json"}, {"--expect-nodes", "0"}}) {
    const auto asked = c.run(std::vector<std::string>{"status", "--broker", broker} + words);
    CHECK(asked.status == 1);
    CHECK(asked.out.empty());
    CHECK(contains(asked.err, "ropewalk status: UNAUTHORIZED: the first frame must be a HELLO"));
    CHECK(contains(asked.err, "--token-file"));
  }
  std::ofstream{files / "wrong"} << "no-such-token\n";
  const auto wrong =
      c.run({"status", "--json", "--broker", broker, "--token-file", files / "wrong"});
  CHECK(wrong.status == 1);
  CHECK(contains(wrong.err, "the token is not known"));
  const auto right =
      c.run({"status", "--json", "--broker", broker, "--token-file", files / "token"});
  CHECK(right.status == 0);
  CHECK(nlohmann::json::parse(right.out)["nodes"].empty());
}

TEST_CASE(
    "a health check finds a broker alive whatever it asks of its clients, and one that is gone "
    "dead") {
  const with_tokens files;
  const certificates certs{{"--client", "alice"}};
  for (const auto& options :
       {std::vector<std::string>{},
        {"--access-file", files / "access"},
        client_port_tls(certs),
        client_port_tls(certs) + std::vector<std::string>{"--client-ca", certs / "ca.pem"},
        client_port_tls(certs) + std::vector<std::string>{"--access-file", files / "access"}}) {
    INFO(options.size());
    cluster c{options};
    const auto alive = c.run({"status", "--alive", "--broker", c.clients().text()});
    INFO(alive.err);
    CHECK(alive.status == 0);
    CHECK(alive.out.empty());
    CHECK(alive.err.empty());
    if (options.empty() || options.size() == 4) { // plain, and over TLS: five seconds each
      c.broker().signal(SIGSTOP);
      const auto stopped = c.run({"status", "--alive", "--broker", c.clients().text()});
      CHECK(stopped.status == 3);
      c.broker().signal(SIGCONT);
    }
    c.broker().signal(SIGKILL);
    REQUIRE(c.broker().wait(10s));
    CHECK(c.run({"status", "--alive", "--broker", c.clients().text()}).status == 3);
  }
}

TEST_CASE("a health check that is told by the environment gets in with TLS and a token") {
  const with_tokens files;
  const certificates certs;
  cluster c{client_port_tls(certs) + std::vector<std::string>{"--access-file", files / "access"}};
  const std::pair<const char*, std::string> told[] = {{"ROPEWALK_BROKER", c.clients().text()},
                                                      {"ROPEWALK_TLS_CA", certs / "ca.pem"},
                                                      {"ROPEWALK_TOKEN_FILE", files / "token"}};
  for (const auto& [name, value] : told) ::setenv(name, value.c_str(), 1);
  const auto asked = c.run({"status", "--json"});
  for (const auto& [name, value] : told) ::unsetenv(name);
  INFO(asked.err);
  CHECK(asked.status == 0);
  CHECK(contains(asked.out, "\"nodes\""));
}

TEST_CASE(
    "who asks for STATUS without a pause has a part of the broker's time, and others the rest") {
  cluster c;
  std::vector<std::string> services{"--slots", "1"};
  for (int i = 0; i < 200; ++i)
    services =
        services + std::vector<std::string>{"--service", "s" + std::to_string(i) + "=builtin:echo"};
  c.start_node("a", services);
  REQUIRE(c.has_nodes(1));
  auto who = c.connect();
  const auto before = cpu_ticks(c.broker().pid());
  int answers = 0;
  for (const auto end = std::chrono::steady_clock::now() + 1s;
       std::chrono::steady_clock::now() < end; ++answers) {
    who.send_status();
    REQUIRE(who.wait(10s));
  }
  CHECK(answers > 5);
  CHECK(cpu_ticks(c.broker().pid()) - before < 40); // of 100; all of them before there was a share
}

TEST_CASE("status tells a broker without nodes from one with") {
  cluster c;
  const auto broker = c.clients().text();
  CHECK(c.run({"status", "--broker", broker}).status == 0);
  const auto none = c.run({"status", "--broker", broker, "--expect-nodes", "1"});
  CHECK(none.status == 5);
  CHECK(contains(none.err, "0 of 1 nodes have joined"));
  c.start_node("a", {"--service", "echo=builtin:echo"});
  CHECK(c.run({"status", "--broker", broker, "--expect-nodes", "1", "--wait", "20s"}).status == 0);
  CHECK(c.run({"status", "--broker", broker, "--expect-nodes", "2"}).status == 5);
  const auto full = run_ropewalk({"status", "--broker", broker}, c.folder(), "/dev/full");
  CHECK(full.status == 4);
  CHECK(contains(full.err, "cannot write to stdout"));
}

TEST_CASE("two nodes of one name are told apart in status, and the log says that there are two") {
  for (const std::string shards : {"1", "2"}) {
    cluster c{{"--shards", shards}};
    auto& first = c.start_node("left", {"--service", "echo=builtin:echo"});
    c.start_node("right", {"--service", "echo=builtin:echo"});
    REQUIRE(c.has_nodes(2));
    CHECK_FALSE(contains(c.broker().log(), "a second node is named"));
    auto& second = c.start_node("left", {"--service", "echo=builtin:echo"});
    REQUIRE(c.has_nodes(3));
    const auto status = c.status();
    std::vector<std::string> labels;
    for (const auto& node : status["nodes"]) labels.push_back(node["label"]);
    REQUIRE(labels.size() == 3);
    for (const auto* node : {&first, &second})
      CHECK(std::count_if(labels.begin(), labels.end(), [&](const std::string& label) {
              return label.starts_with("left@") &&
                     label.ends_with(":" + std::to_string(node->pid()));
            }) == 1);
    CHECK(labels[2] == "right");
    CHECK(status["nodes"][0]["name"] == "left");
    const auto table = c.run({"status", "--broker", c.clients().text()});
    CHECK(contains(table.out, labels[0] + " "));
    CHECK(contains(table.out, labels[1] + " "));
    CHECK(c.broker().says("a second node is named left"));
    CHECK(contains(c.broker().log(), "(pid " + std::to_string(first.pid()) + "); both get work"));
    second.signal(SIGKILL);
    REQUIRE(c.has_nodes(2));
    CHECK(c.status()["nodes"][0]["label"] == "left"); // alone again
  }
}

TEST_CASE("status has what happens a second, and every client of every shard, and who may ask for "
          "one service sees none of that") {
  const with_tokens files;
  const auto made = run_ropewalk({"token", "bob", "--services", "echo"}, files.folder.path());
  std::ofstream{files / "bob"} << made.out;
  std::ofstream{files / "access", std::ios::app} << made.err;
  cluster c{{"--shards", "2", "--access-file", files / "access"}};
  auto& node = c.start_node("left", {"--service", "echo=builtin:echo"});
  const auto status = [&](const std::string& token) {
    return nlohmann::json::parse(
        c.run({"status", "--json", "--wait", "10s", "--expect-nodes", "1", "--broker",
               c.clients().text(), "--token-file", files / token})
            .out);
  };
  (void)status("token");
  process load{{ROPEWALK_PROGRAM, "send", "echo", "--data", "x", "--count", "1000000", "--window",
                "8", "--broker", c.clients().text(), "--token-file", files / "bob"},
               "/dev/null"};
  REQUIRE(eventually([&] { return status("token")["rates"]["1s"]["answered"] > 0; }));
  const auto all = status("token");
  CHECK(all["services"][0]["rates"]["60s"]["submitted"] > 0);
  CHECK(all["loop_lag"]["count"] > 0);
  CHECK(all["memory"]["requests"]["max_bytes"] == all["request_memory_bytes"]);
  CHECK(all["connections"] == all["clients"].size());
  CHECK(all["more_clients"] == 0);
  const auto busy = std::find_if(all["clients"].begin(), all["clients"].end(),
                                 [](const auto& one) { return one["who"] == "bob"; });
  REQUIRE(busy != all["clients"].end());
  CHECK((*busy)["requests"] > 0);
  CHECK((*busy)["in_flight"] <= 8);
  CHECK((*busy)["bytes_in"] > 0);
  CHECK((*busy)["bytes_out"] > 0);
  CHECK((*busy)["address"] == "127.0.0.1");
  const auto little = status("bob");
  CHECK(little["clients"].empty());
  CHECK(little["services"].empty());
  CHECK(little["rates"]["10s"]["submitted"] == 0.0);
  load.signal(SIGKILL);
  CHECK(load.wait(10s));
  // What no one does any more is not among the rates for long.
  CHECK(eventually([&] { return status("token")["rates"]["1s"]["submitted"] == 0.0; }));
  node.signal(SIGKILL);
}
