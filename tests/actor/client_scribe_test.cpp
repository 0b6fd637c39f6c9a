#include "net/sockets/client_scribe.hpp"
#include "tests/actor/led_loop.hpp"
#include "tests/catch.hpp"

#include <array>
#include <cerrno>
#include <sys/socket.h>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

struct connection {
  explicit connection(led_loop& on) : l(on) {
    std::array<int, 2> ends{-1, -1};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) == 0);
    peer = descriptor{ends[1]};
    scribe = caf::make_counted<client_scribe>(l.loop, make_plain_stream(ends[0]), 1024, hangups,
                                              bulk, permit);
  }
  ~connection() {
    scribe = nullptr;
    bulk->close();
    hangups->close();
    for (int i = 0; i < 3; ++i) l.turn();
  }

  // Nobody has it any more: its end is seen by the peer.
  bool is_closed() {
    for (int i = 0; i < 3; ++i) l.turn();
    char byte = 0;
    return ::recv(peer.get(), &byte, 1, MSG_DONTWAIT) == 0;
  }

  led_loop& l;
  std::shared_ptr<hangup_watch> hangups = std::make_shared<hangup_watch>(l.loop);
  std::shared_ptr<poll_set> bulk = poll_set::open(l.loop, 100us);
  std::shared_ptr<int> permit = std::make_shared<int>();
  descriptor peer;
  caf::intrusive_ptr<client_scribe> scribe;
};

} // namespace

TEST_CASE("a connection is closed when nobody holds it, however it was moved about in a turn") {
  led_loop l;
  connection c{l};
  auto& scribe = *c.scribe;
  const auto how = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(how);
  if (how > 1) { // it was read already
    scribe.add_to_loop();
    l.turn();
  }
  switch (how) {
  case 0: // reading begins and ends
    scribe.add_to_loop();
    break;
  case 1: // begins with the others, is bulk, and ends
    scribe.add_to_loop();
    scribe.become_bulk();
    break;
  case 2: // goes on, is bulk for a moment, and ends
    scribe.become_bulk();
    scribe.leave_bulk();
    break;
  case 3: // pauses and goes on, and ends
    scribe.pause_reading();
    scribe.add_to_loop();
    break;
  default: // is bulk, and then not, turn by turn, and ends
    scribe.become_bulk();
    l.turn();
    scribe.leave_bulk();
    scribe.become_bulk();
    scribe.leave_bulk();
  }
  scribe.remove_from_loop();
  CHECK_FALSE(c.is_closed());
  c.scribe = nullptr;
  CHECK(c.is_closed());
}

TEST_CASE(
    "a connection with much in the kernel is closed on a later turn, and counted until then") {
  led_loop l;
  connection c{l};
  const bool much = GENERATE(false, true);
  const std::string bytes(much ? 2 * limits::costly_close_bytes : 1000, 'x');
  std::size_t sent = 0;
  for (ssize_t count = 0; (count = ::send(c.peer.get(), bytes.data(), bytes.size() - sent,
                                          MSG_DONTWAIT | MSG_NOSIGNAL)) > 0;)
    sent += static_cast<std::size_t>(count);
  const std::weak_ptr<int> counted = c.permit;
  c.permit = nullptr;
  c.scribe->keep(c.scribe->take_permit());
  c.scribe->cut_off();
  c.scribe = nullptr;
  CHECK(counted.expired() == !much);
  for (int i = 0; i < 3; ++i) l.turn();
  CHECK(counted.expired());
  char byte = 0;
  CHECK(::recv(c.peer.get(), &byte, 1, MSG_DONTWAIT) < 0);
  CHECK(errno == ECONNRESET); // closed with bytes unread
}
