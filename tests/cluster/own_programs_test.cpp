#include "net/client/async_client.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/certificates.hpp"
#include "tests/cluster/processes.hpp"

#include <atomic>
#include <csignal>
#include <fstream>
#include <set>

using namespace ropewalk;

// Workers and clients in C++ that are not ours: apps/examples/worker.cpp and client.cpp, and
// async_client.

namespace {

using status = async_client::status;

std::string text(const async_client::answer& answer) {
  return std::string{async_client::name_of(answer.status)} + " " + answer.payload;
}

process own_worker(const cluster& c, std::vector<std::string> options) {
  std::vector<std::string> words{ROPEWALK_PROGRAMS "/example_worker", "--broker", c.nodes().text(),
                                 "--name", "own"};
  words.insert(words.end(), options.begin(), options.end());
  return {std::move(words), c.folder() + "/own.log"};
}

async_client client_of(const cluster& c) {
  return async_client{{.broker = c.clients().text()}};
}

} // namespace

TEST_CASE("a worker of one's own offers its functions, with the options of ropewalk worker") {
  cluster c;
  auto own = own_worker(c, {"--slots", "1", "--service", "up=builtin:upper"});
  REQUIRE(c.has_nodes(1));
  auto client = client_of(c);
  CHECK(text(client.call({"reverse", "many hands"})) == "OK sdnah ynam");
  CHECK(text(client.call({"reverse", ""})) == "FAILED there is nothing to reverse");
  CHECK(text(client.call({"up", "hi"})) == "OK HI");
  for (int i = 1; i <= 3; ++i) CHECK(text(client.call({"count"})) == "OK " + std::to_string(i));
  std::string large(limits::default_max_message_bytes, 'y');
  large.front() = 'x';
  const auto answer = client.call({"reverse", large});
  CHECK(answer.ok());
  CHECK(answer.payload == std::string{large.rbegin(), large.rend()});
  own.signal(SIGTERM);
  CHECK(own.wait(10s) == 0);
}

TEST_CASE("a worker of one's own is its own master: a process that is killed is started again") {
  cluster c;
  auto own = own_worker(c, {"--slots", "1", "--processes", "2", "--recycle-after", "1000"});
  REQUIRE(c.has_nodes(2));
  const auto children = children_of(own.pid());
  REQUIRE(children.size() == 2);
  REQUIRE(::kill(children.front(), SIGKILL) == 0);
  REQUIRE(eventually([&] {
    const auto now = children_of(own.pid());
    return now.size() == 2 && now != children;
  }));
  REQUIRE(c.has_nodes(2));
  auto client = client_of(c);
  for (int i = 0; i < 20; ++i) CHECK(client.call({"reverse", "ab"}).payload == "ba");
  own.signal(SIGTERM);
  CHECK(own.wait(10s) == 0);
}

TEST_CASE("a worker of one's own says what is wrong with its command line, and what it takes") {
  cluster c;
  auto twice = own_worker(c, {"--service", "reverse=builtin:echo", "--check"});
  CHECK(twice.wait(5s) == 2);
  CHECK(twice.says("the service 'reverse' is named twice"));
  auto good = own_worker(c, {"--set", "reverse.stop-timeout=1s", "--check"});
  CHECK(good.wait(5s) == 0);
  auto wrong = own_worker(c, {"--sloths", "3"});
  CHECK(wrong.wait(5s) == 2);
  auto help = own_worker(c, {"--help"});
  CHECK(help.wait(5s) == 0);
  CHECK(help.says("--recycle-after"));
}

TEST_CASE("an asynchronous client: futures and functions, many at a time, from many threads") {
  cluster c{{"--no-node-reply", "now"}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--service", "sleep=builtin:sleep"});
  REQUIRE(c.has_nodes(1));
  async_client client{{.broker = c.clients().text(), .max_unanswered = 50}};
  CHECK(text(client.call({"sleep", "100000", 200ms})).find("TIMEOUT") == 0);
  CHECK(client.call({"nobody"}).status == status::no_service);
  CHECK(client.call({""}).status == status::bad_request);
  CHECK(client.call({"echo", std::string(3'000'000, 'x')}).status == status::too_large);
  std::atomic<int> right{0};
  std::atomic<int> called{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::vector<std::future<async_client::answer>> later;
      for (int i = 0; i < 500; ++i) {
        const auto message = std::to_string(t) + " " + std::to_string(i);
        later.push_back(client.send({"echo", message}));
        client.send({.service = "echo", .payload = message, .key = "k", .priority = 2},
                    [&, message](async_client::answer&& answer) {
                      called += answer.payload == message ? 1 : 0;
                    });
      }
      for (int i = 0; i < 500; ++i)
        right += later[i].get().payload == std::to_string(t) + " " + std::to_string(i) ? 1 : 0;
    });
  for (auto& one : threads) one.join();
  CHECK(right == 2000);
  CHECK(eventually([&] { return called == 2000; }));
}

TEST_CASE("an asynchronous client finds a broker again, what was under way is answered as lost") {
  cluster c;
  c.start_node("a", {"--service", "s=builtin:sleep"});
  REQUIRE(c.has_nodes(1));
  auto client = client_of(c);
  REQUIRE(client.call({"s", "0"}).ok());
  auto under_way = client.send({"s", "100000"});
  REQUIRE(eventually([&] { return c.status()["in_flight"] == 1; }));
  c.broker().signal(SIGKILL);
  REQUIRE(under_way.wait_for(10s) == std::future_status::ready);
  const auto answer = under_way.get();
  CHECK(answer.status == status::connection_lost);
  CHECK(answer.payload.find("may have run") != std::string::npos);
  auto waits = client.send({"s", "0"});
  c.restart_broker();
  // Where the connection was to the one that dies, it is lost with it; and the next broker may have
  // it before the worker comes. But it is answered.
  REQUIRE(waits.wait_for(10s) == std::future_status::ready);
  REQUIRE(c.has_nodes(1));
  CHECK(text(client.call({"s", "0"})) == "OK 0");
}

TEST_CASE("an asynchronous client that finds nobody says so in time, and when it goes") {
  async_client hasty{{.broker = "127.0.0.1:1", .give_up_after = 0ms}};
  const auto answer = hasty.call({"s"});
  CHECK(answer.status == status::connection_lost);
  CHECK(answer.payload.find("it was not sent: ") == 0);
  std::future<async_client::answer> open;
  {
    async_client waiting{{.broker = "127.0.0.1:1"}};
    open = waiting.send({"s"});
    CHECK(open.wait_for(100ms) == std::future_status::timeout);
  }
  CHECK(open.get().payload == "the client was closed");
  CHECK_THROWS_AS(async_client{{.broker = "nowhere"}}, std::invalid_argument);
}

TEST_CASE("an asynchronous client shows who it is, by TLS and a token") {
  const certificates certs;
  const temporary_folder folder;
  const auto access = folder.path() + "/access";
  const auto made = run_ropewalk({"token", "alice", "--services", "up"}, folder.path());
  std::ofstream{access} << made.err;
  auto token = made.out;
  token.erase(token.find_last_not_of('\n') + 1);
  cluster c{client_port_tls(certs) + std::vector<std::string>{"--access-file", access}};
  async_client::settings with{.broker = "localhost:" + std::to_string(c.clients().port)};
  with.tls_authority = certs / "ca.pem";
  with.give_up_after = 0ms;
  async_client unknown{with};
  CHECK(text(unknown.call({"up", "hi"})).find("UNAUTHORIZED") != std::string::npos);
  with.token = token;
  async_client known{with};
  CHECK(known.call({"other", "hi"}).status == status::unauthorized);
  CHECK(known.call({"up", "hi"}).status == status::no_service); // it may, but there is none
}

TEST_CASE("the example of a client prints an answer for each message") {
  cluster c;
  c.start_node("a", {"--service", "up=builtin:upper"});
  REQUIRE(c.has_nodes(1));
  process example{{ROPEWALK_PROGRAMS "/example_client", c.clients().text(), "up", "many", "hands"},
                  c.folder() + "/example.log"};
  CHECK(example.wait(10s) == 0);
  CHECK(example.log() == "OK MANY\nOK HANDS\n");
}
