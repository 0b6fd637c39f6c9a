#include "tests/cluster/certificates.hpp"
#include "tests/cluster/exec_handler.hpp"
#include "tests/cluster/free_ports.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>

using namespace ropewalk;

// Servers that run already (`unix:`, `tcp:`): tests/cluster/server.py, and another broker.

namespace {

class server {
public:
  server(const cluster& c, std::string address, std::vector<std::string> options = {})
      : log_(c.folder() + "/connections"), address_(std::move(address)),
        options_(std::move(options)), folder_(c.folder()) {
    start();
  }

  void start() {
    std::vector<std::string> words{"/usr/bin/python3",
                                   ROPEWALK_SOURCE_DIR "/tests/cluster/server.py", address_, log_};
    words.insert(words.end(), options_.begin(), options_.end());
    process_ = std::make_unique<process>(words, folder_ + "/server.log");
  }
  void end() { // and with it all of its connections
    process_->signal_group(SIGKILL);
    process_.reset();
  }

  [[nodiscard]] int connections() const {
    std::ifstream in{log_};
    return static_cast<int>(std::count(std::istreambuf_iterator<char>{in}, {}, '\n'));
  }

private:
  const std::string log_;
  const std::string address_;
  const std::vector<std::string> options_;
  const std::string folder_;
  std::unique_ptr<process> process_;
};

} // namespace

TEST_CASE("a server that runs already answers, over one connection, as many at a time as it says") {
  cluster c;
  const bool local = GENERATE(true, false);
  const auto address =
      local ? c.folder() + "/socket" : "127.0.0.1:" + std::to_string(free_ports(1));
  const server there{c, address, {"--concurrency", "16"}};
  c.start_node("a", {"--service", (local ? "h=unix:" : "h=tcp:") + address, "--slots", "16"});
  auto connection = ready_client(c);
  CHECK(ask(connection, "fail it is wrong") == "FAILED it is wrong");
  CHECK(ask(connection, "attempt") == "OK 1");
  const std::string large(2'000'000, 'y');
  CHECK(ask(connection, "echo " + large) == "OK " + large);
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 16; ++i) connection.send("h", shared_bytes::copy_of("sleep 500"));
  for (int i = 0; i < 16; ++i) REQUIRE(text(connection.wait(10s)) == "OK slept");
  CHECK(std::chrono::steady_clock::now() - began < 2s * time_factor); // not one by one
  CHECK(there.connections() == 1);
}

TEST_CASE("a server is offered while it is connected, and connected again when it is there again") {
  cluster c;
  auto& node = c.start_node("a", {"--service", "h=unix:" + c.folder() + "/socket", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  connection.send("h", shared_bytes::copy_of("echo waited")); // for the server
  REQUIRE(connection.flush());
  REQUIRE(node.says("does it run?"));
  server there{c, c.folder() + "/socket", {"--concurrency", "2"}};
  CHECK(text(connection.wait(20s)) == "OK waited");
  connection.send("h", shared_bytes::copy_of("sleep 100000"), {.attempts = std::uint8_t{1}});
  CHECK(ask(connection, "echo behind it") == "OK behind it"); // so the server has read it
  there.end();
  const auto lost = text(connection.wait(10s));
  CAPTURE(lost);
  CHECK(lost.find("WORKER_LOST") == 0);
  CHECK(lost.find("has closed the connection") != std::string::npos);
  connection.send("h", shared_bytes::copy_of("echo again"));
  REQUIRE(connection.flush());
  there.start();
  CHECK(text(connection.wait(20s)) == "OK again");
}

TEST_CASE("a server that never answers loses the connection, and gets a fresh one") {
  cluster c;
  const server there{c, c.folder() + "/socket"};
  c.start_node("a", {"--service", "h=unix:" + c.folder() + "/socket", "--slots", "1", "--set",
                     "h.stop-timeout=200ms"});
  auto connection = ready_client(c);
  CHECK(ask(connection, "deaf 100000", {.timeout = 300ms}).find("TIMEOUT") == 0);
  CHECK(ask(connection, "echo again") == "OK again");
  CHECK(there.connections() == 2);
}

TEST_CASE("another broker is a handler: two sites are joined, and either may be restarted") {
  cluster here;
  cluster there;
  there.start_node("far", {"--service", "h=builtin:upper", "--service", "s=builtin:sleep"});
  REQUIRE(there.has_nodes(1));
  const auto other = "tcp:" + there.clients().text();
  here.start_node("near", {"--service", "h=" + other, "--service", "s=" + other, "--set",
                           "h.slots=200", "--set", "s.slots=2"});
  REQUIRE(here.has_nodes(1));
  load all{here.connect(), "h", 2000, 200, [](std::uint64_t id) { return std::to_string(id); }};
  all.run(20s);
  CHECK(all.answered == 2000);
  CHECK(all.wrong == 0);
  auto connection = here.connect();
  CHECK(text(connection.call("s", "no number")).find("FAILED builtin:sleep wants") == 0);
  CHECK(text(connection.call("s", "100000", {.timeout = 300ms})).find("TIMEOUT") == 0);
  CHECK(eventually([&] { return there.status()["in_flight"] == 0; })); // it was taken back there
  there.broker().signal(SIGTERM);
  CHECK(there.broker().wait(10s) == 0);
  const auto id = connection.send("h", shared_bytes::copy_of("waits"), {.timeout = 20s});
  REQUIRE(connection.flush());
  there.start_broker();
  const auto answer = connection.wait(20s);
  REQUIRE(answer);
  CHECK(answer->id == id);
  CHECK(text(answer) == "OK WAITS");
}

TEST_CASE("a broker that speaks TLS and asks who its clients are is a handler for who says so") {
  const certificates certs;
  const temporary_folder folder;
  const auto access = folder.path() + "/access";
  const auto token = folder.path() + "/token";
  std::ofstream{access}
      << run_ropewalk({"token", "here", "--services", "h", "--to", token}, folder.path()).err;
  cluster there{client_port_tls(certs) + std::vector<std::string>{"--access-file", access}};
  there.start_node("far", {"--service", "h=builtin:echo", "--service", "other=builtin:echo"});
  const auto address = "=tcp:localhost:" + std::to_string(there.clients().port);
  cluster here;
  const std::vector<std::string> tls{"--set", "h.tls-ca=" + certs / "ca.pem"};
  const auto plain = std::vector<std::string>{"--service", "h" + address};
  const auto says = [](const process& node, const std::string& what) {
    return eventually([&] { return node.log().find(what) != std::string::npos; }, 20s);
  };
  CHECK(says(here.start_node("plain", plain), "this port speaks TLS"));
  CHECK(says(here.start_node("nobody", plain + tls),
             "connection 0 ended before it was ready: it does not accept us: UNAUTHORIZED"));

  here.start_node("near", plain + tls +
                              std::vector<std::string>{"--set", "h.token-file=" + token, "--set",
                                                       "h.slots=100"});
  load all{here.connect(), "h", 2000, 100, [](std::uint64_t id) { return std::to_string(id); }};
  all.run(30s);
  CHECK(all.answered == 2000);
  CHECK(all.wrong == 0);
  auto connection = here.connect();
  const std::string large(limits::default_max_message_bytes, 'z');
  for (int i = 0; i < 10; ++i) connection.send("h", shared_bytes::copy_of(large));
  for (int i = 0; i < 10; ++i) REQUIRE(text(connection.wait(20s)) == "OK " + large);
}

TEST_CASE("what a server is to be reached with is said wrong before anything starts") {
  cluster c;
  const auto tried = [&](const std::string& service, const std::string& option) {
    const auto said =
        c.run({"worker", "--service", "h=" + service, "--set", "h." + option, "--check"});
    CHECK(said.status == 2);
    return said.err;
  };
  CHECK(tried("tcp:localhost:1", "tls-ca=/nowhere.pem").find("cannot read /nowhere.pem") !=
        std::string::npos);
  CHECK(tried("tcp:localhost:1", "token-file=/tmp").find("cannot read /tmp (Is a directory)") !=
        std::string::npos);
  CHECK(tried("tcp:localhost:1", "tls-cert=/etc/hostname").find("go together") !=
        std::string::npos);
  CHECK(tried("exec:cat", "idle-time=1s").find("is for a range of slots") != std::string::npos);
  CHECK(tried("exec:cat", "token-file=/etc/hostname").find("servers that run already") !=
        std::string::npos);
}

TEST_CASE("what is no address of a server is said before anything starts") {
  cluster c;
  for (const auto* const one : {"unix:", "tcp:nowhere", "tcp:"}) {
    const auto said = c.run({"worker", "--service", std::string{"h="} + one, "--check"});
    CHECK(said.status == 2);
    CHECK(said.err.find("such as") != std::string::npos);
  }
}
