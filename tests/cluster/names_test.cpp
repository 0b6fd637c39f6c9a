#include "net/transport/socket.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <csignal>
#include <fstream>
#include <sys/socket.h>

using namespace ropewalk;

/// Names that stand for several addresses, or for none.

namespace {

using strings = std::vector<std::string>;

// Where a broker listens, as its log says: "NAME=ADDRESS,ADDRESS".
std::vector<endpoint> endpoints_in(const std::string& log, const std::string& name) {
  std::vector<endpoint> result;
  const auto line = log.find("ready: ");
  auto at = line == std::string::npos ? line : log.find(name + "=", line);
  if (at == std::string::npos) return result;
  at += name.size() + 1;
  const auto end = log.find_first_of(" \n", at);
  if (end == std::string::npos) return result;
  while (at < end) {
    const auto comma = std::min(log.find(',', at), end);
    result.push_back(*parse_endpoint(log.substr(at, comma - at)));
    at = comma + 1;
  }
  return result;
}

struct lone_broker {
  explicit lone_broker(strings options) {
    options.insert(options.begin(), {ROPEWALK_PROGRAM, "broker"});
    broker = std::make_unique<process>(options, folder.path() + "/broker.log");
    const bool ready = eventually([&] { return !endpoints_in(broker->log(), "nodes").empty(); });
    INFO(broker->log());
    REQUIRE(ready);
    clients = endpoints_in(broker->log(), "clients");
    nodes = endpoints_in(broker->log(), "nodes").front();
  }

  process& start(const std::string& name, const strings& words) {
    others.push_back(std::make_unique<process>(words, folder.path() + "/" + name + ".log"));
    return *others.back();
  }

  process& start_worker(const std::string& name, const std::string& host) {
    return start(name, {ROPEWALK_PROGRAM, "worker", "--name", name, "--broker",
                        endpoint{host, nodes.port}.text(), "--service", name + "=builtin:echo"});
  }

  temporary_folder folder;
  std::unique_ptr<process> broker;
  std::vector<std::unique_ptr<process>> others;
  std::vector<endpoint> clients;
  endpoint nodes;
};

bool answers(const endpoint& where, const std::string& service) {
  auto c = client::connect(where, 5s);
  if (!c) return false;
  c->send(service, shared_bytes::copy_of("x"));
  const auto answer = c->wait(20s);
  return answer && answer->code == error_code::ok;
}

bool has_loopback_of_ipv6() {
  return bool{listen_tcp({"::1", 0})};
}

// Takes connections until its backlog is full: what comes then is dropped.
class silent_listener {
public:
  explicit silent_listener(const endpoint& where) : listening_(*listen_tcp(where)) {
    REQUIRE(::listen(listening_.get(), 0) == 0);
    for (int i = 0; i < 10; ++i) {
      auto next = connect_tcp(where, 100ms);
      if (!next) return;
      connected_.push_back(*std::move(next));
    }
    FAIL("everything is taken here");
  }

private:
  descriptor listening_;
  std::vector<descriptor> connected_;
};

} // namespace

TEST_CASE("localhost is listened on in both families, by clients' port and cluster port") {
  if (!has_loopback_of_ipv6()) {
    WARN("no ::1 on this machine: not tried");
    return;
  }
  const std::string shards = GENERATE("1", "2");
  CAPTURE(shards);
  lone_broker b{{"--listen", "localhost:0", "--cluster", "localhost:0", "--shards", shards}};
  REQUIRE(b.clients.size() == 2);
  CHECK(b.clients[0].host == "127.0.0.1");
  CHECK(b.clients[1] == endpoint{"::1", b.clients[0].port});
  b.start_worker("four", "127.0.0.1");
  b.start_worker("six", "::1");
  b.start_worker("name", "localhost");
  for (const auto* service : {"four", "six", "name"}) {
    CAPTURE(service);
    CHECK(eventually([&] { return answers(b.clients[0], service); })); // when it has joined
    CHECK(answers(b.clients[1], service));
    CHECK(answers({"localhost", b.clients[0].port}, service));
  }
  // The same again for who comes after: the port is both families' own.
  process second{
      {ROPEWALK_PROGRAM, "broker", "--listen", b.clients[1].text(), "--cluster", "127.0.0.1:0"},
      b.folder.path() + "/second.log"};
  CHECK(second.wait(10s) == 1);
  CHECK(second.says("another process listens there"));
}

TEST_CASE("a name whose first address drops packets costs clients and workers a moment, no more") {
  lone_broker b{{"--listen", "127.0.0.3:0", "--cluster", "127.0.0.3:0", "--insecure-cluster"}};
  // Another address, on which nobody else has these ports.
  const silent_listener for_clients{{"127.0.0.2", b.clients[0].port}};
  const silent_listener for_nodes{{"127.0.0.2", b.nodes.port}};
  const auto hosts = b.folder.path() + "/hosts";
  std::ofstream{hosts} << "127.0.0.2 twofold\n127.0.0.3 twofold\n";
  const auto with_hosts = [&](const strings& command) {
    strings words{"/usr/bin/unshare",
                  "--mount",
                  "--",
                  "/bin/sh",
                  "-c",
                  "mount --bind " + hosts + " /etc/hosts || exit 99; exec \"$0\" \"$@\""};
    words.insert(words.end(), command.begin(), command.end());
    return words;
  };
  if (b.start("try", with_hosts({"/bin/true"})).wait(5s) != 0) {
    WARN("no mount namespace may be made here: not tried");
    return;
  }
  const auto begin = std::chrono::steady_clock::now();
  auto& worker = b.start("a", with_hosts({ROPEWALK_PROGRAM, "worker", "--broker",
                                          endpoint{"twofold", b.nodes.port}.text(), "--service",
                                          "echo=builtin:echo"}));
  REQUIRE(worker.says("joined"));
  auto& send =
      b.start("send", with_hosts({ROPEWALK_PROGRAM, "send", "echo", "--data", "hello", "--broker",
                                  endpoint{"twofold", b.clients[0].port}.text()}));
  CHECK(send.wait(10s) == 0);
  CHECK(send.log() == "hello");
  CHECK(std::chrono::steady_clock::now() - begin < 3s * time_factor); // it was 3 s and 5 s
}

TEST_CASE("a name that nobody knows is told from a broker that is not there") {
  cluster c;
  const auto unknown = c.run({"send", "echo", "--data", "x", "--broker", "nobody.invalid:7070"});
  CHECK(unknown.status == 3);
  CHECK(unknown.err.find("cannot find host 'nobody.invalid'") != std::string::npos);
  CHECK(unknown.err.find("is the broker running?") == std::string::npos);
  process worker{{ROPEWALK_PROGRAM, "worker", "--broker", "nobody.invalid:7071", "--service",
                  "echo=builtin:echo"},
                 c.folder() + "/lost.log"};
  CHECK(eventually(
      [&] { return worker.log().find("cannot find host 'nobody.invalid'") != std::string::npos; },
      30s));
}

TEST_CASE("a name that only looks like loopback does not open the cluster port unprotected") {
  temporary_folder folder;
  for (const auto* host : {"127.x.invalid", "127.0.0.1.invalid", "localhost.invalid"}) {
    const auto refused =
        run_ropewalk({"broker", "--listen", "127.0.0.1:0", "--cluster", std::string{host} + ":0"},
                     folder.path());
    CHECK(refused.status == 2);
    CHECK(refused.err.find("could be reached from other machines") != std::string::npos);
  }
}
