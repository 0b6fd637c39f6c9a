#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"
#include "tests/cluster/raw.hpp"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sstream>
#include <thread>

/// What happens between something being decided and its being carried out; who starts what nobody
/// wants any more; whose fault it is.
using namespace ropewalk;

namespace {

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in{path};
  std::vector<std::string> result;
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

// A service that writes a line for each of its runs (attempt and message), then takes `seconds`.
std::string recording_service(const cluster& c, const std::string& seconds) {
  return "run=cmd:sh -c 'm=$(cat); echo \"$ROPEWALK_ATTEMPT $m\" >> " + c.folder() +
         "/runs; sleep " + seconds + "; echo done'";
}

bool lives(const cluster& c) {
  auto connection = c.connect();
  return connection.call("echo", "x", {5s}).code == error_code::ok;
}

std::string with_deadline(std::uint64_t id, std::string_view service, std::uint32_t ms) {
  field_writer fields;
  fields.text(field::service, service).u32(field::deadline_ms, ms);
  std::vector<char> out;
  append_frame(out, frame_kind::request, error_code::ok, id, fields.bytes(), "5000");
  return {out.begin(), out.end()};
}

// Round trips for so long; the 99th percentile in microseconds.
double p99_us(client& c, std::chrono::milliseconds lasting) {
  std::vector<double> took;
  const auto end = std::chrono::steady_clock::now() + lasting;
  while (std::chrono::steady_clock::now() < end) {
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(c.call("echo", "x", {30s}).code == error_code::ok);
    took.push_back(
        std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
            .count());
  }
  std::sort(took.begin(), took.end());
  return took[took.size() * 99 / 100];
}

} // namespace

TEST_CASE("a client whose time runs out as it is shown the door does not take the broker along") {
  cluster c;
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  // The broker gives up a connection that it closes after two seconds: at about that time the
  // request's deadline is over, too.
  std::vector<std::unique_ptr<raw>> clients;
  for (std::uint32_t ms = 1960; ms <= 2040; ++ms) {
    clients.push_back(std::make_unique<raw>(c.clients()));
    auto nonsense = frame(frame_kind::ping, 1, "", "");
    nonsense[4] = 99;
    clients.back()->send(with_deadline(1, "sleep", ms) + nonsense);
  }
  REQUIRE(eventually([&] { return c.status()["connections"] == 1; }, 10s)); // who asks
  REQUIRE(lives(c));
  REQUIRE_FALSE(c.broker().wait(0ms));
}

TEST_CASE("a request that is taken back, or expires, as it comes is never run with nothing in it") {
  cluster c;
  c.start_node("a", {"--slots", "2", "--service", recording_service(c, "0"), "--service",
                     "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  raw r{c.clients()};
  for (std::uint64_t id = 1; id <= 100; ++id) {
    r.send(frame(frame_kind::request, id, "run", "message") +
           frame(frame_kind::cancel, id, "", ""));
    if (id % 10 == 0) { // and one whose client goes away
      raw gone{c.clients()};
      gone.send(frame(frame_kind::request, 1, "run", "message"));
      gone.reset();
    }
  }
  r.send(frame(frame_kind::request, 101, "run", "the last"));
  REQUIRE(eventually([&] {
    const auto runs = lines_of(c.folder() + "/runs");
    return std::find(runs.begin(), runs.end(), "1 the last") != runs.end();
  }));
  for (const auto& run : lines_of(c.folder() + "/runs"))
    REQUIRE((run == "1 message" || run == "1 the last"));
}

TEST_CASE("frames that ask for no work do not keep the loop from the others") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo", "--service", "sleep=builtin:sleep"});
  REQUIRE(c.has_nodes(1));
  auto other = c.connect();
  p99_us(other, 300ms);
  const auto alone = p99_us(other, 1s);
  std::vector<std::pair<std::string, std::string>> floods;
  std::string cancels;
  std::string pings;
  std::string hellos;
  std::string refused;
  for (std::uint64_t i = 1; i <= 4096; ++i) {
    // Ids that a multiplication by the golden ratio would put into one place.
    cancels += frame(frame_kind::cancel, i * 0xf1de83e19937733d, "", "");
    pings += frame(frame_kind::ping, i, "", "");
    hellos += frame(frame_kind::hello, i, "echo", "");
    refused += frame(frame_kind::request, i, "nope", "");
  }
  // Lines of two bytes for a service that there is not, and empty ones.
  std::string lines;
  for (int i = 1; i <= 65536; ++i) lines += "x\n";
  const std::string empty(262'144, '\n');
  std::string asks;
  for (std::uint64_t i = 1; i <= 4096; ++i) asks += frame(frame_kind::status, i, "", "");
  for (const auto& [name, flood] :
       {std::pair{"CANCEL", cancels}, std::pair{"PING", pings}, std::pair{"HELLO", hellos},
        std::pair{"STATUS", asks}, std::pair{"refused REQUEST", refused},
        std::pair{"refused line", lines}, std::pair{"empty line", empty}}) {
    raw r{c.clients()};
    std::string held; // requests whose ids collide
    for (std::uint64_t i = 1; i <= 4000; ++i)
      held += frame(frame_kind::request, i * 0xf1de83e19937733d << 1, "sleep", "600000");
    if (std::string_view{name} == "CANCEL") r.send(held);
    std::atomic<bool> over{false};
    std::thread sender{[&, &what = flood] {
      while (!over.load()) {
        r.send(what, 100ms);
        r.receive([&](const std::string& s) { return s.size() > 100'000 || over.load(); }, 1ms);
      }
    }};
    const auto beside = p99_us(other, 1s);
    over = true;
    sender.join();
    INFO(name << ": p99 " << beside << " us beside it, " << alone << " us alone");
    // Twice is promised; on a machine that does other things as well, less is asked for here.
    CHECK(beside < 10 * alone + 20'000);
  }
  REQUIRE(lives(c));
}

TEST_CASE("a REQUEST with id 0 is answered about the connection, which is then closed") {
  cluster c;
  c.start_node("a", {"--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  raw r{c.clients()};
  r.send(frame(frame_kind::request, 0, "echo", "x") + frame(frame_kind::request, 7, "echo", "y"));
  r.finish();
  const auto answers = r.receive([](const std::string&) { return false; });
  REQUIRE(r.closed);
  REQUIRE(answers.find("must not be 0") != std::string::npos);
  REQUIRE(answers.find("y", answers.find("must not be 0") + 13) == std::string::npos);
}

TEST_CASE("nodes that join while more waits than they have slots take it, and live") {
  cluster c;
  std::vector<std::string> options{"--slots", "3"};
  for (const auto* name : {"a", "b", "c", "d"}) {
    options.emplace_back("--service");
    options.push_back(std::string{name} + "=builtin:sleep");
  }
  auto* first = &c.start_node("n0", options);
  REQUIRE(c.has_nodes(1));
  auto connection = c.connect();
  std::uint64_t asked = 0;
  for (int round = 1; round <= 12; ++round) {
    for (int i = 0; i < 40; ++i)
      for (const auto* name : {"a", "b", "c", "d"}) {
        connection.send(name, shared_bytes::copy_of("2"), {60s});
        ++asked;
      }
    connection.flush();
    first->signal(SIGTERM);
    first = &c.start_node("n" + std::to_string(round), options);
    REQUIRE(c.has_nodes(1));
  }
  for (; asked > 0; --asked) {
    const auto answer = connection.wait(30s);
    REQUIRE(answer);
    REQUIRE(answer->code == error_code::ok);
  }
}

TEST_CASE("a node that stood still starts nothing whose end was said meanwhile") {
  for (const auto stop : {300ms, 700ms, 1500ms, 5500ms}) {
    cluster c;
    auto& a = c.start_node("a", {"--slots", "1", "--service", recording_service(c, "0.2"),
                                 "--service", "echo=builtin:echo"});
    REQUIRE(c.has_nodes(1));
    auto connection = c.connect();
    REQUIRE(connection.call("run", "warm", {30s}).code ==
            error_code::ok); // it is known what it takes
    std::vector<std::uint64_t> ids;
    connection.send("run", shared_bytes::copy_of("first"), {30s});
    for (int i = 0; i < 4; ++i) // with the node, or on their way there
      ids.push_back(connection.send("run", shared_bytes::copy_of("cancelled"), {30s}));
    for (int i = 0; i < 4; ++i)
      connection.send("run", shared_bytes::copy_of("expired"), {stop / 3});
    connection.flush();
    REQUIRE(eventually([&] { return lines_of(c.folder() + "/runs").size() == 2; }));
    a.signal(SIGSTOP);
    for (const auto id : ids) connection.cancel(id);
    connection.flush();
    std::this_thread::sleep_for(stop);
    const auto before = lines_of(c.folder() + "/runs").size();
    a.signal(SIGCONT);
    REQUIRE(c.has_nodes(1));
    REQUIRE(connection.call("run", "last", {30s}).code == error_code::ok);
    auto runs = lines_of(c.folder() + "/runs");
    INFO("stopped for " << stop.count() << " ms");
    // What has started before the stop may be among the first ones; afterwards nothing is.
    for (std::size_t i = before; i < runs.size(); ++i)
      if (runs[i] != "2 first") REQUIRE(runs[i] == "1 last"); // given up and run again
  }
}

TEST_CASE("a client that is not read from and resets is noticed: what it asked for is stopped") {
  cluster c{{"--connection-requests", "1"}};
  c.start_node("a", {"--slots", "2", "--service", recording_service(c, "30")});
  REQUIRE(c.has_nodes(1));
  {
    raw r{c.clients()};
    r.send(frame(frame_kind::request, 1, "run", "one") +
           frame(frame_kind::request, 2, "run", "two"));
    REQUIRE(eventually([&] { return !lines_of(c.folder() + "/runs").empty(); }));
    r.reset();
  }
  REQUIRE(eventually(
      [&] {
        const auto s = c.status();
        return s["connections"] == 1 && s["in_flight"] == 0;
      },
      5s));
}

TEST_CASE("shards: a handler sees which start it is, however often its message came back") {
  cluster c{{"--shards", "3"}};
  c.start_node("a", {"--slots", "1", "--service", recording_service(c, "0.2")});
  c.start_node("b", {"--slots", "1", "--service", recording_service(c, "0.2")});
  REQUIRE(c.has_nodes(2));
  std::vector<client> clients;
  for (int i = 0; i < 24; ++i) {
    clients.push_back(c.connect());
    clients.back().send("run", shared_bytes::copy_of("x"), {60s});
    clients.back().flush();
  }
  for (auto& one : clients) {
    const auto answer = one.wait(60s);
    REQUIRE(answer);
    REQUIRE(answer->code == error_code::ok);
  }
  for (const auto& run : lines_of(c.folder() + "/runs")) REQUIRE(run == "1 x");
  // Once in a while, and not all the time: 562 times for 24 messages it was.
  REQUIRE(c.status()["returned"] < 150);
}

TEST_CASE("shards: what never ran is not blamed for the loss of its node") {
  cluster c{{"--shards", "3"}};
  const std::vector<std::string> options{"--slots", "1", "--service", recording_service(c, "0.5")};
  auto* node = &c.start_node("n0", options);
  REQUIRE(c.has_nodes(1));
  std::vector<client> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(c.connect());
    clients.back().send("run", shared_bytes::copy_of(std::to_string(i)), {60s, std::uint8_t{2}});
    clients.back().flush();
  }
  for (int kill = 1; kill <= 2; ++kill) {
    const auto runs = lines_of(c.folder() + "/runs").size();
    REQUIRE(eventually([&] { return lines_of(c.folder() + "/runs").size() > runs; }));
    std::this_thread::sleep_for(200ms); // in the middle of a run, of which the shards have heard
    node->signal(SIGKILL);
    node = &c.start_node("n" + std::to_string(kill), options);
    REQUIRE(c.has_nodes(1));
  }
  int lost = 0;
  std::vector<int> is_lost(12);
  for (std::size_t i = 0; i < clients.size(); ++i) {
    const auto answer = clients[i].wait(60s);
    REQUIRE(answer);
    is_lost[i] = answer->code == error_code::worker_lost;
    lost += is_lost[i];
    if (!is_lost[i]) REQUIRE(answer->code == error_code::ok);
  }
  // Whose answer is WORKER_LOST has run twice, and was killed both times.
  for (std::size_t i = 0; i < clients.size(); ++i) {
    if (!is_lost[i]) continue;
    int starts = 0;
    for (const auto& run : lines_of(c.folder() + "/runs"))
      starts += run.substr(2) == std::to_string(i);
    INFO("request " << i);
    REQUIRE(starts == 2);
  }
  REQUIRE(lost <= 1);
}

TEST_CASE("answers to lines behind one that takes long count as answers that are unread") {
  cluster c{{"--unread-answers", "1048576"}};
  c.start_node("a", {"--service", "sleep=builtin:sleep", "--service", "echo=builtin:echo"});
  REQUIRE(c.has_nodes(1));
  const auto before = resident_kib(c.broker().pid());
  raw r{c.clients()};
  r.send("sleep 20000\n");
  std::string nonsense;
  for (int i = 0; i < 10'000; ++i) nonsense += "x\n";
  const auto end = std::chrono::steady_clock::now() + 3s;
  while (std::chrono::steady_clock::now() < end) r.send(nonsense, 200ms);
  REQUIRE(lives(c));
  REQUIRE(resident_kib(c.broker().pid()) - before < 96 * 1024 * time_factor);
}

TEST_CASE("who has read all of its answers is not cut off for what others leave") {
  cluster c{{"--answers-memory", "8388608"}};
  c.start_node("a", {"--service", "echo=builtin:echo", "--slots", "2"});
  REQUIRE(c.has_nodes(1));
  const std::string large(1'000'000, 'x');
  std::vector<client> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(c.connect());
    for (int k = 0; k < 8; ++k) clients.back().send("echo", shared_bytes::copy_of(large));
    clients.back().flush();
    std::this_thread::sleep_for(250ms); // in which nothing is read
    for (int k = 0; k < 8; ++k) {
      const auto answer = clients.back().wait(20s);
      REQUIRE(answer);
    }
  }
  std::this_thread::sleep_for(2500ms); // the broker looks at all of them every second
  for (auto& one : clients) REQUIRE(one.call("echo", "still here").code == error_code::ok);
}

TEST_CASE("clients that come back and back do not keep a broker from its end") {
  cluster c{{"--drain-time", "500"}};
  std::atomic<bool> over{false};
  std::thread again{[&] {
    while (!over.load()) {
      auto connected = connect_tcp(c.clients(), 1s);
      if (connected) {
        char byte = 0;
        pollfd waiting{connected->get(), POLLIN, 0};
        ::poll(&waiting, 1, 500);
        (void)::recv(connected->get(), &byte, 1, MSG_DONTWAIT);
      }
      std::this_thread::sleep_for(10ms);
    }
  }};
  std::this_thread::sleep_for(200ms);
  c.broker().signal(SIGTERM);
  const auto status = c.broker().wait(8s);
  over = true;
  again.join();
  REQUIRE(status == 0);
}
