#include "tests/catch.hpp"
#include "tests/cluster/certificates.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"
#include "tests/matches.hpp"

#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace ropewalk;

/// HTTP as its usual clients speak it.

namespace {

// A broker that speaks HTTP, and curl.
class http_cluster : public cluster {
public:
  explicit http_cluster(const std::vector<std::string>& options = {},
                        const std::string& where = "127.0.0.1:0")
      : cluster(std::vector<std::string>{"--http", where} + options) {}

  [[nodiscard]] endpoint http() {
    const auto log = broker().log();
    const auto at = log.rfind(" http=");
    REQUIRE(at != std::string::npos);
    const auto begin = at + 6;
    return *parse_endpoint(log.substr(begin, log.find_first_of(" \n,\"", begin) - begin));
  }

  [[nodiscard]] std::string url(const std::string& path, const std::string& scheme = "http") {
    return scheme + "://" + http().text() + path;
  }

  // What curl prints: the answer's head, its body, and whatever else it is told to.
  std::string curl(const std::vector<std::string>& words) {
    process asked{std::vector<std::string>{"/usr/bin/curl", "-s", "-i", "-m", "20"} + words,
                  folder() + "/curl-" + std::to_string(++asked_)};
    if (!asked.wait(25s)) FAIL("curl does not end");
    return asked.log();
  }

private:
  int asked_ = 0;
};

// A Python program, which is to print "good".
void run_python(const http_cluster& c, const std::string& program,
                const std::vector<std::string>& words) {
  const auto path = c.folder() + "/client.py";
  std::ofstream{path} << program;
  process run{std::vector<std::string>{"/usr/bin/python3", path} + words, c.folder() + "/py.log"};
  const auto status = run.wait(20s);
  INFO(run.log());
  REQUIRE(status == 0);
  REQUIRE(run.says("good"));
}

constexpr const char* python_client = R"(
import http.client, socket, sys
host, port = sys.argv[1], int(sys.argv[2])
c = http.client.HTTPConnection(host, port, timeout=10)
for i in range(200):  # over one connection
    body = b"x" * i
    c.request("POST", "/v1/services/echo", body=body)
    r = c.getresponse()
    assert (r.status, r.read()) == (200, body), (i, r.status)
def pieces():
    for i in range(50):
        yield b"y" * 1000 * i
c.request("POST", "/v1/services/echo", body=pieces(), encode_chunked=True,
          headers={"Transfer-Encoding": "chunked"})
r = c.getresponse()
assert (r.status, len(r.read())) == (200, 1225000), r.status
c.request("HEAD", "/status")
r = c.getresponse()
assert r.status == 200 and int(r.getheader("Content-Length")) > 100 and r.read() == b""
c.request("POST", "/v1/services/none", body=b"x")
r = c.getresponse()
assert r.status == 404 and r.getheader("Content-Type") == "application/problem+json"
r.read()
# A hundred at once, answered in their order.
s = socket.create_connection((host, port), 10)
s.sendall(b"".join(b"POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n%04d" % i
                   for i in range(100)))
told = b""
while told.count(b"HTTP/1.1 200 OK") < 100 or not told.endswith(b"0099"):
    more = s.recv(65536)
    assert more, told[-500:]
    told += more
at = [told.index(b"\r\n\r\n%04d" % i) for i in range(100)]
assert at == sorted(at)
print("good")
)";

} // namespace

TEST_CASE("curl sends a message over HTTP and gets the reply, or why there is none") {
  http_cluster c;
  c.start_node("a", {"--service", "up=builtin:upper", "--service", "slow=builtin:sleep",
                     "--service", "no=cmd:false"});
  REQUIRE(c.has_nodes(1));
  const auto up = c.url("/v1/services/up");
  CHECK(c.curl({"-d", "many hands", up}).ends_with("\r\n\r\nMANY HANDS"));
  CHECK(c.curl({"-d", "x", "-H", "Transfer-Encoding: chunked", up, up}).ends_with("\r\n\r\nX"));
  std::ofstream{c.folder() + "/big"} << std::string(1'500'000, 'a');
  const auto big =
      c.curl({"--data-binary", "@" + c.folder() + "/big", "-H", "Expect: 100-continue", up});
  CHECK(contains(big, "HTTP/1.1 100 Continue"));
  CHECK(big.ends_with(std::string(1'500'000, 'A')));
  std::ofstream{c.folder() + "/huge"} << std::string(3'000'000, 'a');
  const auto huge = c.curl({"--data-binary", "@" + c.folder() + "/huge", up});
  CHECK(contains(huge, "HTTP/1.1 413"));
  CHECK(contains(huge, R"("code":"TOO_LARGE")"));
  const auto late =
      c.curl({"-d", "5000", "-H", "Ropewalk-Timeout: 100ms", c.url("/v1/services/slow")});
  CHECK(contains(late, "HTTP/1.1 504"));
  CHECK(contains(late, "\"code\":\"TIMEOUT\""));
  CHECK(contains(c.curl({"-d", "x", c.url("/v1/services/no")}), "HTTP/1.1 422"));
  CHECK(contains(c.curl({"-d", "x", c.url("/v1/services/none")}), "HTTP/1.1 404"));
  CHECK(contains(c.curl({up}), "HTTP/1.1 405"));
  CHECK(contains(c.curl({"-X", "OPTIONS", up}), "Allow: POST, OPTIONS"));
  CHECK(contains(c.curl({"-I", c.url("/healthz")}), "HTTP/1.1 200 OK"));
  CHECK(contains(c.curl({"-H", "Host: evil.example", c.url("/status")}), "HTTP/1.1 421"));
  CHECK(contains(c.curl({"-d", "x", "-H", "Origin: https://evil.example", up}), "HTTP/1.1 403"));
}

TEST_CASE("Python's client speaks HTTP with the broker, in chunks and a hundred at once, on two "
          "shards, too") {
  for (const auto& options :
       {std::vector<std::string>{}, std::vector<std::string>{"--shards", "2"}}) {
    http_cluster c{options, "localhost:0"};
    c.start_node("a", {"--service", "echo=builtin:echo"});
    REQUIRE(c.has_nodes(1));
    const auto where = c.http();
    run_python(c, python_client, {where.host, std::to_string(where.port)});
  }
}

TEST_CASE("what Prometheus scrapes is as its own checker wants it, and says what happened") {
  http_cluster c{{"--shards", "2"}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--service", "no=cmd:false"});
  REQUIRE(c.has_nodes(1));
  for (int i = 0; i < 3; ++i)
    REQUIRE(c.run({"send", "echo", "--data", "x", "--broker", c.clients().text()}).status == 0);
  CHECK(c.run({"send", "no", "--data", "x", "--broker", c.clients().text()}).status != 0);
  process scrape{{"/usr/bin/curl", "-s", c.url("/metrics")}, c.folder() + "/metrics"};
  REQUIRE(scrape.wait(10s) == 0);
  const auto text = scrape.log();
  CHECK(contains(text, "\nropewalk_service_answered_total{service=\"echo\"} 3\n"));
  CHECK(contains(text, "\nropewalk_service_time_in_all_seconds_count{service=\"echo\"} 3\n"));
  CHECK(contains(text, "\nropewalk_service_errors_total{service=\"no\",code=\"FAILED\"} 1\n"));
  CHECK(contains(text, "\nropewalk_service_slots{service=\"echo\"} "));
  CHECK(contains(text, "\nropewalk_node_answered_total{node=\"a\"} 4\n"));
  process checked{{"/bin/sh", "-c", "promtool check metrics <" + scrape.log_path()},
                  c.folder() + "/promtool"};
  const auto status = checked.wait(20s);
  INFO(checked.log());
  CHECK(status == 0);
  CHECK(checked.log().empty());
  process rules{{"/bin/sh", "-c",
                 "cd " ROPEWALK_SOURCE_DIR "/docker && promtool test rules "
                 "alerts_test.yaml"},
                c.folder() + "/rules"};
  const auto good = rules.wait(20s);
  INFO(rules.log());
  CHECK(good == 0);
}

TEST_CASE(
    "a client that goes away in the middle of a request over HTTP takes it back, by a reset or "
    "by its end") {
  http_cluster c;
  c.start_node("a", {"--service", "slow=builtin:sleep", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  for (const bool reset : {true, false}) {
    raw client{c.http()};
    client.send("POST /v1/services/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\n"
                "600000POST /v1/services/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                "6\r\n\r\n600000");
    REQUIRE(eventually([&] { return c.status()["services"][0]["waiting"] == 1; }));
    reset ? client.reset() : client.finish();
    CHECK(eventually([&] {
      const auto slow = c.status()["services"][0];
      return slow["waiting"] == 0 && slow["in_flight"] == 0;
    }));
  }
}

TEST_CASE("HTTP has the TLS and the tokens of the client port, and beyond loopback it wants them") {
  const certificates certs;
  temporary_folder folder;
  const auto made = run_ropewalk({"token", "alice", "--services", "up"}, folder.path());
  const auto seer = run_ropewalk({"token", "seer", "--services", "@status"}, folder.path());
  const auto access = folder.path() + "/access";
  std::ofstream{access} << made.err << seer.err;
  const auto bearer = [](const output& of) {
    return "Authorization: Bearer " + of.out.substr(0, of.out.find('\n'));
  };
  http_cluster c{client_port_tls(certs) + std::vector<std::string>{"--access-file", access},
                 "localhost:0"};
  c.start_node("a", {"--service", "up=builtin:upper"});
  REQUIRE(c.broker().says("node a joined"));
  const auto at = [&](const std::string& path) {
    return "https://localhost:" + std::to_string(c.http().port) + path;
  };
  const std::vector<std::string> tls{"--cacert", certs / "ca.pem"};
  CHECK(contains(c.curl(tls + std::vector<std::string>{at("/healthz")}), "HTTP/1.1 200"));
  CHECK(contains(c.curl(tls + std::vector<std::string>{at("/status")}), "HTTP/1.1 401"));
  CHECK(
      c.curl(tls + std::vector<std::string>{"-H", bearer(made), "-d", "hi", at("/v1/services/up")})
          .ends_with("\r\n\r\nHI"));
  CHECK(contains(c.curl(tls + std::vector<std::string>{"-H", bearer(made), at("/metrics")}),
                 "HTTP/1.1 403"));
  CHECK(contains(c.curl(tls + std::vector<std::string>{"-H", bearer(seer), at("/metrics")}),
                 "ropewalk_service_submitted_total{service=\"up\"} 1"));
  CHECK(contains(c.curl({c.url("/healthz")}), "this port speaks TLS"));

  const auto check = [&](const std::vector<std::string>& options) {
    return run_ropewalk(std::vector<std::string>{"broker", "--check", "--http", "0.0.0.0:0"} +
                            options,
                        folder.path());
  };
  const auto open = check({});
  CHECK(open.status == 2);
  CHECK(contains(open.err, "--insecure-http"));
  CHECK(check({"--insecure-http"}).status == 0);
  CHECK(check({"--access-file", access}).status == 0);
}

TEST_CASE("requests that a proxy and the broker could take for different ones end the connection") {
  http_cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const std::string start = "POST /v1/services/echo HTTP/1.1\r\nHost: localhost\r\n";
  const std::string smuggled = "GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n";
  for (const std::string& attack :
       {start + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
        start + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled,
        start + "Content-Length: 0\r\nContent-Length: 51\r\n\r\n" + smuggled,
        start + "Transfer-Encoding: xchunked\r\n\r\n" + smuggled,
        start +
            "Transfer-Encoding:\x0b"
            "chunked\r\n\r\n" +
            smuggled,
        start + "Content-Length: 3\r\n\r\nabc" + "GET /status HTTP/1.1\r\n\r\n"}) {
    raw client{c.http()};
    client.send(attack);
    const auto told = client.receive([](const std::string&) { return false; });
    INFO(attack << "\n->\n" << told);
    CHECK(client.closed);
    CHECK_FALSE(contains(told, "\"nodes\""));
    CHECK((contains(told, "HTTP/1.1 400") || contains(told, "HTTP/1.1 501")));
  }
}

TEST_CASE("status lists services, and those without a node as long as something waits for them") {
  cluster c;
  auto& node = c.start_node("a", {"--service", "slow=builtin:sleep", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto client = c.connect();
  for (int i = 0; i < 3; ++i) client.send("slow", shared_bytes::borrow("60000"));
  client.flush();
  REQUIRE(eventually([&] { return c.status()["services"][0]["waiting"] == 2; }));
  const auto table = c.run({"status", "--broker", c.clients().text()});
  CHECK(contains(table.out, "SERVICE "));
  CHECK(contains(table.out, "1/1"));
  node.signal(SIGKILL);
  REQUIRE(eventually([&] { return c.status()["nodes"].empty(); }));
  const auto without = c.status()["services"][0];
  CHECK(without["waiting"] == 3);
  CHECK(without["slots"] == 0);
  CHECK(without["redispatched"] == 1);
  CHECK(without["retries"] == 1);
  CHECK(without["oldest_waiting_seconds"] > 0.0);
  CHECK(contains(c.run({"status", "--broker", c.clients().text()}).out, "slow "));
}

TEST_CASE(
    "a message is taken back over HTTP on whichever shard it is: its client is told, what ran "
    "it is stopped") {
  http_cluster c{{"--shards", "2"}};
  c.start_node(
      "a", {"--service", "rest=cmd:sh -c 'read time; sleep $time; echo rested'", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  // So many that it cannot be that a shard has none of them (once in 32,768).
  std::vector<client> clients;
  for (int i = 0; i < 16; ++i) {
    clients.push_back(c.connect());
    clients.back().send("rest", shared_bytes::borrow("600\n"));
    clients.back().flush();
  }
  std::vector<std::string> ids;
  REQUIRE(eventually([&] {
    ids.clear();
    const auto open = c.curl({c.url("/v1/messages?open")});
    const auto known = nlohmann::json::parse(open.substr(open.find("{\"now\"")));
    for (const auto& one : known["messages"]) ids.push_back(one["id"].get<std::string>());
    return ids.size() == clients.size();
  }));
  std::vector<std::string> urls{"-X", "POST"};
  for (const auto& id : ids) urls.push_back(c.url("/v1/cancel/" + id));
  const auto done = c.curl(urls);
  for (const auto& id : ids) CHECK(contains(done, "message " + id + " of service rest is taken"));
  for (auto& one : clients) {
    const auto answer = one.wait(10s);
    REQUIRE(answer);
    CHECK(answer->code == error_code::cancelled);
    CHECK(answer->payload.view() == "who runs the broker has taken it back");
  }
  // Both slots are free again: nothing rests there for ten minutes.
  for (int i = 0; i < 2; ++i) clients[0].send("rest", shared_bytes::borrow("0\n"), {10s});
  for (int i = 0; i < 2; ++i) CHECK(clients[0].wait(15s)->code == error_code::ok);
  CHECK(c.broker().says("(by a client at 127.0.0.1"));
  const auto again = c.curl({"-X", "POST", c.url("/v1/cancel/" + ids[0])});
  CHECK(contains(again, "HTTP/1.1 409"));
  CHECK(contains(again, "message " + ids[0] + " has been answered already: CANCELLED"));
}
