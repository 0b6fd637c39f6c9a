#include "actors/broker/sessions/client_sessions.hpp"
#include "tests/catch.hpp"
#include "tests/unit/fake_client.hpp"

#include <map>
#include <memory>

using namespace ropewalk;
using namespace std::chrono_literals;

/// Clients of which the broker must find out that they are gone, or at the wrong place, and what they
/// are told when it goes itself.

namespace {

// The front's work without CAF, with one node that never answers.
class broker_of_a_silent_node {
public:
  broker_of_a_silent_node() {
    REQUIRE(clients.load_access(now_));
    work_.join({{"s", 4}}, now_);
  }

  std::shared_ptr<fake_client> connect() {
    auto client = std::make_shared<fake_client>();
    client->takes(1'000'000);
    ids_[client.get()] = clients.connected(client, std::make_shared<int>(), now_);
    return client;
  }
  void read(const std::shared_ptr<fake_client>& from) {
    if (!from->input_ended()) from->arrive();
    clients.read(ids_.at(from.get()), now_);
    end_turn();
  }

  void pass(milliseconds time) {
    for (const auto end = now_ + time; now_ < end;) {
      now_ += 100ms;
      work_.advance(now_);
      if ((now_ - start_) % session_timeouts::interval == 0ms) clients.check_timeouts(now_);
      end_turn();
    }
  }

private:
  void end_turn() {
    clients.carry_out(work_.pending());
    work_.pending().withdraw.clear();
    work_.take_placed([](node_number, token, const request&, std::uint16_t) {});
    clients.flush(now_);
  }

  const instant start_{1h};
  instant now_ = start_;
  dispatcher work_{{}, start_, 1};
  std::map<const fake_client*, connection_id> ids_;

public:
  client_sessions clients{{}, {}, work_, {}};
};

} // namespace

TEST_CASE(
    "a client that has closed its sending half and waits is asked every two seconds whether it "
    "is there, and nobody else is") {
  broker_of_a_silent_node b;
  auto pings = [](const fake_client& of) {
    std::size_t count = 0;
    const std::string ping{"\0\0\0\x0c\x08\0\0\0\0\0\0\0\0\0\0\0", frame_header_bytes};
    for (auto at = of.told().find(ping); at != std::string::npos;
         at = of.told().find(ping, at + ping.size()))
      ++count;
    return count;
  };
  const auto waits = b.connect();
  const auto is_open = b.connect();
  const auto speaks_text = b.connect();
  const auto has_bytes_under_way = b.connect();
  for (const auto& who : {waits, is_open, has_bytes_under_way}) who->asks(1, "s");
  speaks_text->says("s x\n");
  for (const auto& who : {waits, is_open, speaks_text, has_bytes_under_way}) {
    b.read(who);
  }
  has_bytes_under_way->leaves_unacknowledged(10);
  for (const auto& who : {waits, speaks_text, has_bytes_under_way}) {
    who->closes_its_half();
    b.read(who);
  }
  b.pass(1500ms);
  CHECK(pings(*waits) == 0); // who asks for something short is never asked
  b.pass(10s);
  CHECK(pings(*waits) >= 4);
  CHECK(pings(*waits) <= 6);
  CHECK(pings(*is_open) == 0);
  CHECK(pings(*has_bytes_under_way) == 0);
  CHECK(speaks_text->told().empty());
}

TEST_CASE("a request that comes while the broker drains is told when to come again") {
  broker_of_a_silent_node b;
  const auto client = b.connect();
  b.clients.begin_drain();
  client->asks(1, "s");
  b.read(client);
  CHECK(client->was_told(std::string_view{"\x09\x04\x00\x00\x01\xf4", 6})); // retry_after: 500
}

TEST_CASE(
    "a worker that comes to the client port is told where workers join, tokens asked or not") {
  broker_of_a_silent_node b;
  const auto worker = b.connect();
  worker->says("ropewalk-cluster 1 0.1.0                       \n");
  b.read(worker);
  CHECK(worker->was_told("ERR BAD_REQUEST this is the client port, and workers join at"));
  CHECK(worker->is_finished());
}
