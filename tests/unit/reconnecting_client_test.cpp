#include "net/client/reconnecting_client.hpp"
#include "tests/catch.hpp"

#include <array>
#include <sys/socket.h>
#include <vector>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

/// Brokers that are the other ends of socket pairs: each connection is a new one.
class brokers_by_hand {
public:
  result<client> connect() {
    ++tries;
    if (unavailable > 0) {
      --unavailable;
      return failure{failure_kind::unavailable, "nobody listens", {}};
    }
    if (refuses) return failure{failure_kind::refused, "the token is not known", {}};
    std::array<int, 2> fds{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds.data()) == 0);
    broker = descriptor{fds[1]};
    return client{make_plain_stream(descriptor{fds[0]})};
  }

  void says(frame_kind kind, std::uint64_t id, error_code code, std::string_view payload) const {
    std::vector<char> out;
    append_frame(out, kind, code, id, {}, payload);
    REQUIRE(::send(broker.get(), out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()));
  }
  [[nodiscard]] std::string heard() const {
    std::array<char, 4096> buffer{};
    const auto count = ::recv(broker.get(), buffer.data(), buffer.size(), 0);
    return {buffer.data(), count > 0 ? static_cast<std::size_t>(count) : 0};
  }

  int tries = 0;
  int unavailable = 0;
  bool refuses = false;
  descriptor broker;
};

constexpr reconnect_settings quick{1ms, 4ms, 2000ms};

} // namespace

TEST_CASE("what a lost connection left unanswered is reported once each, and ids go on") {
  brokers_by_hand brokers;
  reconnecting_client c{[&] { return brokers.connect(); }, quick, 1};
  const auto payload = shared_bytes::copy_of("x");
  REQUIRE(c.send("s", payload) == 1);
  CHECK_FALSE(c.just_found_again(60s)); // it was there at the first try
  REQUIRE(c.send("s", payload) == 2);
  REQUIRE(c.send("s", payload) == 3);
  REQUIRE_FALSE(c.wait(1ms));
  brokers.says(frame_kind::reply, 2, error_code::ok, "two");
  REQUIRE(c.wait(1s)->id == 2);
  (void)brokers.heard(); // bytes that nobody read would make the end a reset
  brokers.broker.close();
  for (const std::uint64_t lost : {1u, 3u}) {
    const auto answer = c.wait(1s);
    REQUIRE(answer);
    CHECK(answer->id == lost);
    CHECK(answer->code == error_code::connection_lost);
    CHECK(answer->payload.view() == "the broker closed the connection");
  }
  REQUIRE(c.unanswered() == 0);
  REQUIRE_FALSE(c.wait(1ms));
  REQUIRE(brokers.tries == 1); // nobody has asked for another
  brokers.unavailable = 3;
  REQUIRE(c.send("s", payload) == 4);
  REQUIRE(brokers.tries == 5);
  CHECK(c.just_found_again(60s));
  CHECK_FALSE(c.just_found_again(0s));
  brokers.says(frame_kind::error, 4, error_code::worker_lost, "killed");
  CHECK(c.wait(1s)->code == error_code::worker_lost); // no lost connection
}

TEST_CASE(
    "a broker that does not come back is given up in time, and what is sent is reported lost") {
  brokers_by_hand brokers;
  brokers.unavailable = 1'000'000;
  reconnecting_client c{[&] { return brokers.connect(); }, {1ms, 4ms, 50ms}, 1};
  const auto begin = std::chrono::steady_clock::now();
  const auto failed = c.connect();
  REQUIRE_FALSE(failed);
  CHECK(failed.why().what == "nobody listens");
  CHECK(std::chrono::steady_clock::now() - begin < 5s);
  CHECK(brokers.tries > 3);
  const auto id = c.send("s", {});
  const auto answer = c.wait(1s);
  REQUIRE(answer);
  CHECK(answer->id == id);
  CHECK(answer->code == error_code::connection_lost);
}

TEST_CASE("a broker that refuses the client is not asked again") {
  brokers_by_hand brokers;
  brokers.refuses = true;
  reconnecting_client c{[&] { return brokers.connect(); }, quick, 1};
  REQUIRE_FALSE(c.connect());
  CHECK(brokers.tries == 1);
}

TEST_CASE("the pauses between tries double up to their max, with jitter") {
  reconnect_backoff pauses{{100ms, 1000ms, 0ms}, 42};
  for (const auto whole : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    const auto pause = pauses.next();
    CHECK(pause >= whole / 2);
    CHECK(pause <= whole);
  }
  pauses.reset();
  CHECK(pauses.next() <= 100ms);
}

TEST_CASE("a call whose connection ends is no WORKER_LOST, and a broker's PING is answered") {
  brokers_by_hand brokers;
  auto c = *brokers.connect();
  c.send("s", {});
  brokers.says(frame_kind::ping, 0, error_code::ok, "there?");
  REQUIRE_FALSE(c.wait(10ms)); // it is no answer
  c.flush();
  const auto heard = brokers.heard();
  CHECK(heard.substr(heard.size() - 6) == "there?");
  CHECK(heard[heard.size() - 6 - frame_header_bytes + 4] == static_cast<char>(frame_kind::pong));
  brokers.broker.close();
  CHECK(c.call("s", "").code == error_code::connection_lost);
}
