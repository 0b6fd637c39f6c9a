#include "net/bytes/byte_order.hpp"
#include "net/protocol/cluster_greeting.hpp"
#include "net/protocol/frame.hpp"
#include "tests/catch.hpp"
#include "tests/cluster/bystanders.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"

#include <csignal>
#include <random>
#include <sys/resource.h>
#include <unistd.h>

using namespace ropewalk;

TEST_CASE("a message of one byte over the cap is answered TOO_LARGE and the connection works on") {
  cluster c{{"--max-message-bytes", "100000"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  REQUIRE(connection.call("echo", std::string(100'000, 'x')).code == error_code::ok);
  const auto answer = connection.call("echo", std::string(100'001, 'x'));
  REQUIRE(answer.code == error_code::too_large);
  REQUIRE(answer.payload.view().find("100kB") != std::string_view::npos);
  REQUIRE(connection.call("echo", "after").payload.view() == "after");
}

TEST_CASE("messages far over the cap are discarded as they stream in") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  others_are_served(c);
  const auto before = resident_kib(c.broker().pid());
  auto connection = c.connect();
  const std::string large(200 << 20, 'x');
  REQUIRE(connection.call("echo", large).code == error_code::too_large);
  REQUIRE(connection.call("echo", "after").code == error_code::ok);
  CHECK(resident_kib(c.broker().pid()) < before + slack_kib);
}

TEST_CASE("a frame that makes no sense is answered BAD_REQUEST and its connection closed, nobody "
          "else's") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  for (const auto& bad :
       {std::string("\x00\x00\x00\x01zzzzzzzzzzzzzzzz", 20),
        std::string("\x00\x00\x00\x0c\x63zzzzzzzzzzz", 16),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03zzzzzzzzzz", 21)}) {
    raw r{c.clients()};
    r.send(bad);
    const auto answer = r.receive([](const std::string&) { return false; });
    REQUIRE(r.closed);
    REQUIRE(answer.size() > frame_header_bytes);
    frame_header head;
    read_header(answer.data(), head);
    CHECK(head.kind == frame_kind::error);
    CHECK(head.code == error_code::bad_request);
    CHECK(head.id == 0);
  }
  others_are_served(c);
}

TEST_CASE("requests that make no sense are answered and the connection works on") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  REQUIRE(connection.call("", "x").code == error_code::bad_request);
  REQUIRE(connection.call("nope", "x").code == error_code::no_service);
  REQUIRE(connection.call("echo", "x").code == error_code::ok);
  raw r{c.clients()};
  r.send(frame(frame_kind::hello, 1, "echo", "") +
         frame(frame_kind::request, 7, "", "default service"));
  const auto answers = r.receive(
      [](const std::string& s) { return s.find("default service") != std::string::npos; });
  REQUIRE(answers.find("default service") != std::string::npos);
}

TEST_CASE("text lines: one answer a line, in the order of the lines") {
  cluster c;
  c.start_node(
      "a", {"--service", "echo=builtin:echo", "--service", "sleep=builtin:sleep", "--slots", "4"});
  REQUIRE(c.has_nodes(1));
  raw r{c.clients()};
  r.send("sleep 200\necho two\nnope three\r\n\necho four words here\n");
  r.finish(); // as nc does at the end of its input: the answers still come, then the connection
              // closes
  const auto answers = r.receive([](const std::string&) { return false; });
  REQUIRE(r.closed);
  REQUIRE(answers.find("OK 200\nOK two\nERR NO_SERVICE ") == 0);
  REQUIRE(answers.ends_with("\nOK four words here\n"));
}

TEST_CASE("ten thousand pipelined lines are answered in order") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  raw r{c.clients()};
  std::string lines;
  std::string expected;
  for (int i = 0; i < 10'000; ++i) {
    lines += "echo " + std::to_string(i) + "\n";
    expected += "OK " + std::to_string(i) + "\n";
  }
  REQUIRE(r.send(lines));
  REQUIRE(r.receive([&](const std::string& s) { return s.size() >= expected.size(); }) == expected);
}

TEST_CASE("a client that closes its sending half gets its answers, then the connection is closed") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep"});
  REQUIRE(c.has_nodes(1));
  raw r{c.clients()};
  r.send(frame(frame_kind::request, 1, "sleep", "300"));
  r.finish();
  const auto answer = r.receive([](const std::string&) { return false; });
  REQUIRE(r.closed);
  REQUIRE(answer.size() == frame_header_bytes + 3);
  REQUIRE(eventually([&] { return c.status()["connections"] == 1; })); // that of the status itself
}

TEST_CASE("a client that goes away has its work dropped, and nobody waits for it") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  {
    raw r{c.clients()};
    for (std::uint64_t id = 1; id <= 50; ++id)
      r.send(frame(frame_kind::request, id, "sleep", "5000"));
    REQUIRE(eventually([&] { return c.status()["queued"] == 49; }));
    r.reset();
  }
  REQUIRE(eventually([&] { return c.status()["queued"] == 0; }));
  REQUIRE(c.connect().call("sleep", "1").code ==
          error_code::ok); // long before five seconds: what ran was stopped
}

TEST_CASE("a client that sends and never reads is paused, then cut off, and the broker's memory "
          "stays bounded") {
  cluster c{{"--unread-answers", "1000000", "--unread-answers-time", "1500", "--connection-memory",
             "2000000"}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  others_are_served(c);
  const auto before = resident_kib(c.broker().pid());
  raw r{c.clients()};
  const std::string payload(50'000, 'x');
  std::uint64_t sent = 0;
  while (r.send(frame(frame_kind::request, sent + 1, "echo", payload), 300ms)) ++sent;
  INFO(sent << " requests were taken");
  CHECK(sent < 2000);
  CHECK(resident_kib(c.broker().pid()) < before + slack_kib);
  others_are_served(c);
  REQUIRE(c.broker().says("cut off"));
  REQUIRE(eventually([&] { return c.status()["connections"] == 1; }));
}

TEST_CASE("a slow reader that reads after all gets every answer") {
  cluster c{{"--unread-answers", "1000000", "--connection-memory", "2000000"}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  const auto payload = shared_bytes::copy_of(std::string(50'000, 'y'));
  constexpr int count = 600; // 30 MB, far over what may be unread
  for (int i = 0; i < count; ++i) connection.send("echo", payload);
  connection.flush();
  REQUIRE(
      eventually([&] { return c.status()["in_flight"] == 0 && c.status()["held_bytes"] == 0; }));
  for (int i = 0; i < count; ++i) {
    const auto answer = connection.wait(10s);
    REQUIRE(answer);
    REQUIRE(answer->code == error_code::ok);
  }
}

TEST_CASE("half-open connections and slow bytes hold nobody else up, and cost little") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  others_are_served(c);
  const auto before = resident_kib(c.broker().pid());
  const auto request = frame(frame_kind::request, 1, "echo", "slow");
  std::vector<std::unique_ptr<raw>> many;
  for (int i = 0; i < 300; ++i) {
    many.push_back(std::make_unique<raw>(c.clients()));
    many.back()->send(
        std::string_view{request}.substr(0, static_cast<std::size_t>(i) % request.size()));
  }
  // Each of these announces two megabytes and sends a few bytes of them.
  std::vector<char> head;
  append_header(head, frame_kind::request, error_code::ok, 1, {}, 2 << 20);
  for (int i = 0; i < 100; ++i) {
    many.push_back(std::make_unique<raw>(c.clients()));
    many.back()->send(std::string{head.begin(), head.end()} + "a few");
  }
  others_are_served(c);
  CHECK(resident_kib(c.broker().pid()) < before + slack_kib);
  auto& one = *many[5];
  one.send(std::string_view{request}.substr(5));
  REQUIRE(one.receive([](const std::string& s) { return s.size() >= frame_header_bytes + 4; })
              .ends_with("slow"));
}

TEST_CASE("overload is answered BUSY with a time to come back, and memory stays bounded") {
  cluster c{{"--queue", "100"}};
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--slots", "1"});
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  for (int i = 0; i < 200; ++i) connection.send("sleep", shared_bytes::copy_of("20"));
  int busy = 0;
  int ok = 0;
  for (int i = 0; i < 200; ++i) {
    const auto answer = connection.wait(20s);
    REQUIRE(answer);
    if (answer->code == error_code::busy) {
      ++busy;
      CHECK(answer->retry_after_ms > 0);
    } else {
      REQUIRE(answer->code == error_code::ok);
      ++ok;
    }
  }
  CHECK(ok == 101);
  CHECK(busy == 99);
}

// Not under the sanitizers: UBSan opens a pipe to see whether an object's memory can be read, and
// calls the object invalid when it cannot have one.
#if !defined(__SANITIZE_ADDRESS__)
// Leaves the broker so many descriptors, and returns when as many clients as have come are too
// many.
std::vector<std::unique_ptr<raw>> starve(cluster& c, rlim_t descriptors, int clients) {
  const rlimit few{descriptors, 4096};
  REQUIRE(::prlimit(c.broker().pid(), RLIMIT_NOFILE, &few, nullptr) == 0);
  std::vector<std::unique_ptr<raw>> result;
  for (int i = 0; i < clients; ++i) result.push_back(std::make_unique<raw>(c.clients()));
  REQUIRE(c.broker().says("out of file descriptors"));
  return result;
}

TEST_CASE("a broker that has too few descriptors to start says so, at each of what it opens") {
  cluster c;
  int starts = 0;
  for (int count = 9; count <= 18; ++count) {
    CAPTURE(count);
    const auto command = "ulimit -n " + std::to_string(count) +
                         "; exec " ROPEWALK_PROGRAM
                         " broker --listen 127.0.0.1:0 --cluster 127.0.0.1:0";
    process broker{{"/bin/sh", "-c", command},
                   c.folder() + "/few-" + std::to_string(count) + ".log"};
    const auto is_ready = [&] { return broker.log().find("ready:") != std::string::npos; };
    REQUIRE(eventually([&] { return is_ready() || broker.wait(0ms); }));
    if (is_ready()) {
      ++starts;
      continue;
    }
    CHECK(broker.says("Too many open files"));
    CHECK(broker.log().find("please report it") == std::string::npos);
  }
  CHECK(starts > 0);
  CHECK(starts < 10);
}

TEST_CASE(
    "out of descriptors the broker serves whom it has, idles, and accepts again when it can") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto pid = c.broker().pid();
  auto first = c.connect();
  REQUIRE(first.call("echo", "1").code == error_code::ok);
  auto many = starve(c, 40, 60);
  REQUIRE(first.call("echo", "2").code == error_code::ok);
  const auto before = cpu_ticks(pid);
  REQUIRE(first.call("echo", std::string(100, 'x'), {2s, {}}).code == error_code::ok);
  const auto answer = many.back()->receive([](const std::string&) { return false; }, 1s);
  CHECK(cpu_ticks(pid) - before < 20); // hundredths of a second, in more than one
  many.erase(many.begin(), many.begin() + 50);
  auto& last = *many.back();
  last.send("echo again\n");
  REQUIRE(last.receive_line() == "OK again\n");
  others_are_served(c);
}

TEST_CASE("clients leave descriptors for nodes, and a node that finds none comes in later") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto pid = c.broker().pid();
  const auto has_joined = [&](const std::string& name) {
    return c.broker().says("node " + name + " joined");
  };
  auto clients = starve(c, 64, 100);
  c.start_node("b", {"--service", "echo=builtin:echo"});
  REQUIRE(has_joined("b"));
  // Who takes these, too, is turned away in the end, and nobody spins.
  std::vector<std::unique_ptr<raw>> strangers;
  for (int i = 0; i < 40; ++i) strangers.push_back(std::make_unique<raw>(c.nodes()));
  REQUIRE(c.broker().says("turned away"));
  c.start_node("c", {"--service", "echo=builtin:echo"});
  const auto before = cpu_ticks(pid);
  (void)clients.back()->receive([](const std::string&) { return false; }, 1s);
  CHECK(cpu_ticks(pid) - before < 20); // hundredths of a second, in one
  CHECK(c.broker().log().find("node c joined") == std::string::npos);
  strangers.clear();
  REQUIRE(has_joined("c"));
  clients.clear();
  REQUIRE(c.has_nodes(3));
}
#endif

// As a worker does, before all else.
void greet(raw& to) {
  to.send(cluster_greeting_line(own_cluster_greeting()));
  const auto is_whole = [](const std::string& s) { return s.size() >= cluster_greeting_bytes; };
  REQUIRE(to.receive(is_whole).starts_with(cluster_greeting_word));
}

TEST_CASE("random bytes on either port end no process") {
  cluster c;
  auto& node = c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto before = resident_kib(c.broker().pid());
  std::mt19937_64 random{42};
  for (int round = 0; round < 200; ++round) {
    raw r{round % 2 ? c.nodes() : c.clients()};
    if (round % 4 == 1) greet(r);
    std::string bytes(1 + random() % 2000, '\0');
    for (auto& b : bytes) b = static_cast<char>(random() % 3 == 0 ? random() : random() % 4);
    r.send(bytes);
    if (round % 3 == 0) r.reset();
  }
  others_are_served(c);
  CHECK_FALSE(node.wait(0ms));
  CHECK(resident_kib(c.broker().pid()) < before + slack_kib);
}

// As net/cluster/compact_basp.hpp has it.
std::string compact_frame(unsigned char flags, std::uint32_t bytes, std::uint64_t form,
                          std::uint64_t actor, std::string_view payload) {
  std::string result(32, '\0');
  result[0] = 2; // a direct message
  result[3] = static_cast<char>(flags);
  store_be(result.data() + 4, bytes);
  store_be(result.data() + 8, form);
  store_be(result.data() + 24, actor);
  return result + std::string{payload};
}

TEST_CASE("batches at the cluster port from who has not shaken hands, or of a form that nobody "
          "knows, end the connection and nothing else") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const std::string batch(40, '\1');
  for (const auto& bad :
       {compact_frame(0x80, 40, 0, 10, batch), compact_frame(0x80, 40, 1, 10, batch),
        compact_frame(0x80, 40, 99, 10, batch), compact_frame(0x80, 0, 0, 10, ""),
        compact_frame(0x80, 0xffffffff, 0, 10, batch),
        compact_frame(0xc0, 8, 0, 10, "\0\0\0\0zzzz"), compact_frame(0xc0, 40, 0, 10, batch)}) {
    raw r{c.nodes()};
    greet(r);
    r.send(bad);
    r.receive([](const std::string&) { return false; });
    CHECK(r.closed);
  }
  others_are_served(c);
}

TEST_CASE("a header that announces gigabytes on the cluster port costs nothing") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto before = resident_kib(c.broker().pid());
  std::vector<std::unique_ptr<raw>> many;
  for (int i = 0; i < 20; ++i) {
    // CAF's BASP header: operation u8, 2 bytes padding, flags u8, payload length u32, then the rest
    // of 72 bytes.
    std::string header(72, '\0');
    header[0] = 1;
    header[4] = '\xb0';
    many.push_back(std::make_unique<raw>(c.nodes()));
    greet(*many.back());
    many.back()->send(header);
  }
  others_are_served(c);
  CHECK(resident_kib(c.broker().pid()) < before + slack_kib);
}

namespace {

// A connection that is served. Who asked before may not be known to be gone yet.
client a_place(const cluster& c) {
  std::optional<client> result;
  REQUIRE(eventually([&] {
    result = c.connect();
    return result->call("echo", "x").code == error_code::ok;
  }));
  return std::move(*result);
}

} // namespace

TEST_CASE(
    "more clients than may be are closed at once, who is in stays, and a place that is left is "
    "given again") {
  cluster c{{"--connections", "5"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  std::vector<client> in;
  for (int i = 0; i < 5; ++i) in.push_back(a_place(c));
  auto one_too_many = c.connect();
  REQUIRE(one_too_many.call("echo", "x").code != error_code::ok);
  REQUIRE(one_too_many.closed());
  REQUIRE(in.front().call("echo", "still here").code == error_code::ok);
  in.pop_back();
  REQUIRE(eventually([&] { return c.connect().call("echo", "x").code == error_code::ok; }));
  REQUIRE(c.broker().says("too many connections"));
}

TEST_CASE("one address has its share of connections") {
  cluster c{{"--connections-per-address", "3"}};
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  std::vector<client> in;
  for (int i = 0; i < 3; ++i) in.push_back(a_place(c));
  REQUIRE(c.connect().call("echo", "x").code != error_code::ok);
  in.clear();
  REQUIRE(eventually([&] { return c.connect().call("echo", "x").code == error_code::ok; }));
}

TEST_CASE(
    "a message that does not come to its end, and a client that asks nothing, have their time") {
  cluster c{{"--message-time", "700", "--idle-time", "1500"}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--service", "sleep=builtin:sleep"});
  REQUIRE(c.has_nodes(1));
  raw slow{c.clients()};
  slow.send(frame(frame_kind::request, 1, "echo", "hello").substr(0, 20));
  auto busy = c.connect();
  busy.send("sleep", shared_bytes::copy_of("3500")); // longer than it may idle: it does not
  busy.flush();
  auto until_closed = [](raw& r) {
    return r.receive([](const std::string&) { return false; }, 8s);
  };
  REQUIRE(until_closed(slow).find("the message was not complete within 700 ms") !=
          std::string::npos);
  REQUIRE(slow.closed);
  raw idle{c.clients()};
  idle.send("echo hello\n");
  REQUIRE(until_closed(idle) == "OK hello\nERR TIMEOUT nothing was asked within 1500 ms\n");
  const auto answer = busy.wait(10s);
  REQUIRE(answer);
  REQUIRE(answer->code == error_code::ok);
}
