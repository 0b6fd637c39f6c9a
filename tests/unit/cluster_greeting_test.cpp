#include "net/protocol/cluster_greeting.hpp"
#include "net/protocol/decoder.hpp"
#include "net/transport/greeted_stream.hpp"
#include "tests/catch.hpp"

#include <array>
#include <sys/socket.h>
#include <thread>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

struct pair_of_sockets {
  pair_of_sockets() {
    std::array<int, 2> fds{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()) == 0);
    one = descriptor{fds[0]};
    other = descriptor{fds[1]};
  }
  descriptor one, other;
};

std::string received(stream& from) {
  std::array<char, 4096> buffer{};
  const iovec part{buffer.data(), buffer.size()};
  const auto got = from.receive({&part, 1});
  return {buffer.data(), got.state == stream::state::ok ? got.bytes : 0};
}

void send(stream& to, std::string_view bytes) {
  const iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  REQUIRE(to.send({&part, 1}).bytes == bytes.size());
}

} // namespace

TEST_CASE("a greeting is read as it was written, and has a fixed size") {
  const auto line = cluster_greeting_line({7, "12.34.56~rc1"});
  REQUIRE(line.size() == cluster_greeting_bytes);
  const auto read = read_cluster_greeting(line);
  REQUIRE(read);
  CHECK(read->version == 7);
  CHECK(read->release == "12.34.56~rc1");
  CHECK_FALSE(read_cluster_greeting(line.substr(1)));
  auto without_number = line;
  without_number[cluster_greeting_word.size() + 1] = 'x';
  CHECK_FALSE(read_cluster_greeting(without_number));
  for (std::size_t i = 0; i <= line.size(); ++i) CHECK(may_be_cluster_greeting(line.substr(0, i)));
  CHECK_FALSE(may_be_cluster_greeting("echo hello"));
  CHECK_FALSE(may_be_cluster_greeting(std::string_view{"\0\0\0\x0c", 4}));
}

TEST_CASE("broker and worker of releases that do not understand each other are told both") {
  CHECK(why_not_together({1, "0.1.0"}, {1, "0.2.0"}).empty());
  const auto why = why_not_together({1, "0.1.0"}, {2, "0.9.0"});
  CHECK(why.find("the broker is ropewalk 0.1.0 and the worker ropewalk 0.9.0") == 0);
  CHECK(why.find("run the same release on both") != std::string::npos);
}

TEST_CASE("a worker that greets in pieces is let in, and nothing is sent to it before") {
  pair_of_sockets sockets;
  const auto worker = make_plain_stream(std::move(sockets.one));
  const auto broker = expect_greeting(make_plain_stream(std::move(sockets.other)), false);
  const auto line = cluster_greeting_line(own_cluster_greeting());
  for (const char c : line) {
    CHECK_FALSE(broker->ready());
    const iovec early{const_cast<char*>("early"), 5};
    CHECK(broker->send({&early, 1}).state == stream::state::blocked);
    CHECK(broker->sends_by_reading());
    send(*worker, std::string_view{&c, 1});
    CHECK(received(*broker).empty());
  }
  CHECK(broker->ready());
  CHECK(received(*worker) == line);
  send(*worker, "more");
  CHECK(received(*broker) == "more");
}

TEST_CASE("who comes to a cluster port and is no worker is told so in what it speaks") {
  for (const auto& [said, answer] :
       {std::pair<std::string, std::string>{"echo hello\n", "ERR BAD_REQUEST this is the cluster"},
        {"r", ""}, // may become a greeting
        {"ropewalk-bluster\n", "ERR BAD_REQUEST this is the cluster"},
        {std::string(24, '\1'), "this is the cluster port"},
        {std::string("\x16\x03\x01\x02\x00\x01", 6), "does not speak TLS"}}) {
    INFO(said);
    pair_of_sockets sockets;
    const auto client = make_plain_stream(std::move(sockets.one));
    const auto broker = expect_greeting(make_plain_stream(std::move(sockets.other)), false);
    send(*client, said);
    CHECK(received(*broker).empty());
    CHECK(broker->why().empty() == answer.empty());
    CHECK_FALSE(broker->ready());
    CHECK(received(*client).find(answer) != std::string::npos);
  }
}

TEST_CASE("a worker says what is at the other end instead of its broker") {
  for (const auto& [said, expected] :
       {std::pair<std::string, std::string>{cluster_greeting_line(own_cluster_greeting()), ""},
        {cluster_greeting_line({99, "9.9.9"}), "the broker is ropewalk 9.9.9 and the worker"},
        {"ERR BAD_REQUEST this is the client port\n", "it answers BAD_REQUEST this is the client"},
        {"SSH-2.0-OpenSSH_9.2p1\r\n", "no Ropewalk broker's cluster port"},
        {"220 mail\r\n", "no Ropewalk broker's cluster port"}}) {
    INFO(said);
    pair_of_sockets sockets;
    const auto worker = make_plain_stream(std::move(sockets.one));
    const auto other = make_plain_stream(std::move(sockets.other));
    send(*other, said);
    const auto greeted = greet_broker(*worker, 5s);
    CHECK(static_cast<bool>(greeted) == expected.empty());
    if (!greeted) CHECK(greeted.why().text().find(expected) != std::string::npos);
  }
  pair_of_sockets silent;
  const auto worker = make_plain_stream(std::move(silent.one));
  const auto greeted = greet_broker(*worker, 20ms);
  REQUIRE_FALSE(greeted);
  CHECK(greeted.why().what == "it accepts the connection and says nothing");
  pair_of_sockets closed;
  const auto late = make_plain_stream(std::move(closed.one));
  closed.other.close();
  CHECK(greet_broker(*late, 5s).why().what == "it closes the connection without a word");
}

TEST_CASE("what begins as TLS does is no frame, whatever the cap, and the reason says so") {
  for (const char minor : {'\1', '\3'}) {
    decoder d{1 << 20};
    std::string hello{"\x16\x03", 2};
    hello += minor;
    hello += std::string("\x02\x00\x01\x00\x01\xfc\x03\x03", 8) + std::string(100, 'x');
    d.feed(hello);
    const auto* event = d.next();
    REQUIRE(event);
    REQUIRE(std::holds_alternative<malformed_stream>(*event));
    CHECK(std::get<malformed_stream>(*event).reason == speaks_tls);
  }
}
