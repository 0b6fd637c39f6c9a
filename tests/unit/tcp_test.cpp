#include "net/client/client.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/connect_race.hpp"
#include "net/transport/endpoint.hpp"
#include "net/transport/outbox.hpp"
#include "net/transport/socket.hpp"
#include "net/transport/unix_socket.hpp"
#include "tests/catch.hpp"

#include <array>
#include <chrono>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace ropewalk;

TEST_CASE("HOST:PORT is read, and what is not is refused") {
  REQUIRE(parse_endpoint("127.0.0.1:7070") == endpoint{"127.0.0.1", 7070});
  REQUIRE(parse_endpoint("[::1]:80") == endpoint{"::1", 80});
  REQUIRE(parse_endpoint("broker:0") == endpoint{"broker", 0});
  REQUIRE(endpoint{"::1", 80}.text() == "[::1]:80");
  for (const auto* bad : {"", ":", "host", "host:", "host:x", "host:65536", "host:-1", ":80",
                          "::1:80", "[]:80", "h:80 "})
    REQUIRE_FALSE(parse_endpoint(bad));
}

TEST_CASE("an address that cannot be had is an error that names it") {
  const auto refused = connect_tcp({"127.0.0.1", 1}, std::chrono::seconds{2});
  REQUIRE(refused.why().text().find("127.0.0.1:1") != std::string::npos);
  const auto first = listen_tcp({"127.0.0.1", 0});
  const auto taken = listen_tcp(local_endpoint(first->get()));
  REQUIRE(taken.why().text().find("another process listens there") != std::string::npos);
}

TEST_CASE(
    "a reserved port is for listeners that share it, once they listen nobody else can have it") {
  const auto reserved = reserve_port({"127.0.0.1", 0});
  const auto where = local_endpoint(reserved->get());
  const auto first = listen_tcp(where, port_use::shared);
  const auto second = listen_tcp(where, port_use::shared);
  REQUIRE(first);
  REQUIRE(second);
  REQUIRE_FALSE(listen_tcp(where));
  REQUIRE_FALSE(reserve_port(where));
}

TEST_CASE("a local socket stands beside a TCP port, for who names that as this machine's") {
  const std::string host = GENERATE("127.0.0.1", "0.0.0.0");
  const auto tcp = listen_tcp({host, 0}); // the port is nobody else's
  const auto where = local_endpoint(tcp->get());
  REQUIRE_FALSE(connect_local({"127.0.0.1", where.port}));
  const auto listening = listen_local(where);
  REQUIRE(listening);
  REQUIRE_FALSE(listen_local(where));
  for (const auto* name : {"127.0.0.1", "localhost"}) {
    const auto connected = connect_local({name, where.port});
    REQUIRE(connected);
    const descriptor accepted{::accept(listening->get(), nullptr, nullptr)};
    REQUIRE(accepted.valid());
    REQUIRE(::write(accepted.get(), "x", 1) == 1);
    char got = 0;
    REQUIRE(::read(connected->get(), &got, 1) == 1);
  }
  REQUIRE_FALSE(connect_local({"192.0.2.1", where.port}));
}

TEST_CASE("a local socket that another user has taken is not trusted") {
  if (::geteuid() != 0) return; // needs two users
  const auto tcp = listen_tcp({"127.0.0.1", 0});
  const auto where = local_endpoint(tcp->get());
  std::array<int, 2> ready{};
  std::array<int, 2> done{};
  REQUIRE(::pipe(ready.data()) == 0);
  REQUIRE(::pipe(done.data()) == 0);
  const auto child = ::fork();
  if (child == 0) {
    ::close(done[1]);
    char end = 0;
    if (::setuid(65534) != 0) ::_exit(1);
    const auto listening = listen_local(where);
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::_exit(::read(done[0], &end, 1) == 0 ? 0 : 1);
  }
  char started = 0;
  REQUIRE(::read(ready[0], &started, 1) == 1);
  const auto connected = connect_local(where);
  ::close(done[1]);
  int status = 0;
  ::waitpid(child, &status, 0);
  for (const int fd : {ready[0], ready[1], done[0]}) ::close(fd);
  REQUIRE(status == 0);
  REQUIRE(connected.why().text().find("another user's") != std::string::npos);
}

TEST_CASE("an outbox sends small and large pieces in order, however little the socket takes") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()) == 0);
  const descriptor a{pair[0]};
  const descriptor b{pair[1]};
  const auto wire = make_plain_stream(a.get());
  outbox out;
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    const std::string text(static_cast<std::size_t>(i) * 311, static_cast<char>('a' + i % 26));
    out.append(i % 2 ? shared_bytes::copy_of(text) : shared_bytes::borrow(text));
    expected += text;
  }
  REQUIRE(out.size() == expected.size());
  std::string received;
  std::array<char, 10'000> buffer;
  auto state = outbox::state::blocked;
  while (received.size() < expected.size()) {
    if (state != outbox::state::empty) state = out.send(*wire);
    REQUIRE(state != outbox::state::failed);
    const auto count = ::read(b.get(), buffer.data(), buffer.size());
    REQUIRE(count > 0);
    received.append(buffer.data(), static_cast<std::size_t>(count));
  }
  REQUIRE(received == expected);
  REQUIRE(out.empty());
  REQUIRE(out.sent() == expected.size());
}

TEST_CASE("what was left out of an outbox's tail is sent in its place") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()) == 0);
  const descriptor a{pair[0]};
  const descriptor b{pair[1]};
  const auto wire = make_plain_stream(a.get());
  auto put = [](outbox& out, std::string_view text) {
    out.tail().insert(out.tail().end(), text.begin(), text.end());
  };
  auto large = [](char with) {
    return shared_bytes::copy_of(std::string(limits::large_payload_bytes, with));
  };
  auto text = [](const shared_bytes& bytes) { return std::string{bytes.view()}; };
  const auto x = large('x');
  const auto y = large('y');
  const auto z = large('z');
  outbox out;
  put(out, "before|head|between|end");
  out.splice(std::vector<spliced_bytes>{{12, x}, {12, y}, {20, z}});
  put(out, "|more");
  out.splice({});
  out.splice(std::vector<spliced_bytes>{{8, x}}); // at the very end
  const auto expected =
      "before|head|" + text(x) + text(y) + "between|" + text(z) + "end|more" + text(x);
  REQUIRE(out.size() == expected.size());
  std::string got;
  std::string some(65'536, '\0');
  while (got.size() < expected.size()) {
    REQUIRE(out.send(*wire) != outbox::state::failed);
    const auto count = ::read(b.get(), some.data(), some.size());
    REQUIRE(count > 0);
    got.append(some, 0, static_cast<std::size_t>(count));
  }
  REQUIRE(got == expected);
}

TEST_CASE("an outbox whose peer is gone says so") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()) == 0);
  const descriptor a{pair[0]};
  ::close(pair[1]);
  const auto wire = make_plain_stream(a.get());
  outbox out;
  out.append(shared_bytes::copy_of("x"));
  REQUIRE(out.send(*wire) == outbox::state::failed);
}

TEST_CASE(
    "a client's request carries its own optional fields, whatever the one before it asked for") {
  std::array<int, 2> pair{};
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair.data()) == 0);
  const descriptor broker{pair[1]};
  client c{make_plain_stream(descriptor{pair[0]})};
  decoder requests{1000, decoder::mode::binary};
  std::array<char, 1000> bytes{};
  const auto said = [&](std::string_view service, const request_options& options) {
    c.send(service, shared_bytes::borrow("x"), options);
    REQUIRE(c.flush());
    const auto count = ::read(broker.get(), bytes.data(), bytes.size());
    REQUIRE(count > 0);
    requests.feed({bytes.data(), static_cast<std::size_t>(count)});
    frame_fields fields;
    REQUIRE(read_fields(std::get<incoming_frame>(*requests.next()).fields, fields));
    REQUIRE_FALSE(requests.next());
    return std::string{fields.service} + (fields.attempts ? " once" : "") +
           (fields.key.empty() ? "" : " in order");
  };
  request_options once;
  once.attempts = 1;
  request_options in_order;
  in_order.key = "k";
  CHECK(said("a", {}) == "a");
  CHECK(said("a", {}) == "a");
  CHECK(said("a", once) == "a once");
  CHECK(said("", {}) == ""); // the connection's standard service
  CHECK(said("a", in_order) == "a in order");
  CHECK(said("a", {}) == "a");
  CHECK(said("b", {}) == "b");
  CHECK(said("", {}) == "");
}

TEST_CASE("only what is surely this machine counts as loopback") {
  for (const auto* own : {"127.0.0.1", "127.0.0.0", "127.255.255.255", "127.1", "::1", "localhost",
                          "LOCALHOST", "localhost.", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1"})
    CHECK(is_loopback({own, 1}));
  for (const auto* other : {"127.x.invalid", "127.0.0.1.invalid", "127.", "", "0.0.0.0",
                            "::", "128.0.0.1", "10.127.0.1", "localhost.example", "xlocalhost",
                            "::2", "::ffff:10.0.0.1", "fe80::1", "1.0.0.127"})
    CHECK_FALSE(is_loopback({other, 1}));
}

TEST_CASE("a name that nobody knows says so, and not that nothing listens there") {
  const auto unknown = client::connect({"nobody.invalid", 7070}, std::chrono::seconds{20});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.why().text().find("cannot find host 'nobody.invalid'") != std::string::npos);
  CHECK(unknown.why().text().find("is the broker running?") == std::string::npos);
}

TEST_CASE("localhost is both families, on one port") {
  const auto where = listening_addresses({"localhost", 0});
  REQUIRE(where);
  CHECK((*where)[0].host == "127.0.0.1");
  CHECK((*where)[0].port != 0);
  if (where->size() == 1) {
    WARN("no ::1 on this machine");
    return;
  }
  REQUIRE(where->size() == 2);
  CHECK((*where)[1] == endpoint{"::1", (*where)[0].port});
  // Whichever of them somebody listens on is found.
  for (const auto& one : *where) {
    const auto listening = listen_tcp(one);
    REQUIRE(listening);
    CHECK(connect_tcp({"localhost", one.port}, std::chrono::seconds{2}));
  }
  CHECK(listening_addresses({"127.0.0.1", 5})->size() == 1);
}

namespace {

using std::chrono::milliseconds;

socket_address address_of(const descriptor& listening) {
  const auto where = local_endpoint(listening.get());
  return resolve(where)->front();
}

// Takes connections until its backlog is full: what comes then gets no answer, as behind a firewall
// that drops packets.
class silent_listener {
public:
  silent_listener() {
    REQUIRE(::listen(listening_.get(), 0) == 0);
    for (int i = 0; i < 10; ++i) {
      auto next = connect_tcp(local_endpoint(listening_.get()), milliseconds{100});
      if (!next) return;
      connected_.push_back(*std::move(next));
    }
    FAIL("everything is taken here");
  }

  [[nodiscard]] socket_address address() const { return address_of(listening_); }

private:
  descriptor listening_ = *listen_tcp({"127.0.0.1", 0});
  std::vector<descriptor> connected_;
};

milliseconds since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - begin);
}

} // namespace

TEST_CASE("an address that drops packets costs a quarter of a second, one that refuses nothing") {
  const silent_listener silent;
  const auto good = listen_tcp({"127.0.0.1", 0});
  const auto reserved = reserve_port({"127.0.0.1", 0}); // nobody listens there
  const endpoint name{"several", 0};
  auto begin = std::chrono::steady_clock::now();
  const auto behind_silence =
      connect_tcp(name, {silent.address(), address_of(*good)}, std::chrono::seconds{5});
  CHECK(behind_silence);
  CHECK(since(begin) >= milliseconds{200});
  CHECK(since(begin) < milliseconds{2000});
  begin = std::chrono::steady_clock::now();
  CHECK(connect_tcp(name, {address_of(*reserved), address_of(*reserved), address_of(*good)},
                    std::chrono::seconds{5}));
  CHECK(since(begin) < milliseconds{200});
  // What has had its moment still wins if it is the only one.
  begin = std::chrono::steady_clock::now();
  const auto nobody =
      connect_tcp(name, {silent.address(), address_of(*reserved)}, milliseconds{600});
  REQUIRE_FALSE(nobody);
  CHECK(since(begin) >= milliseconds{600});
  CHECK(nobody.why().text() == "cannot connect to several:0: 127.0.0.1: Connection timed out, "
                               "127.0.0.1: Connection refused");
}

TEST_CASE(
    "a race to connect: families take turns, an attempt has a moment for itself, and one that "
    "failed makes room at once") {
  using time_point = connect_race::time_point;
  const time_point start{milliseconds{1'000}};
  connect_race race{{6, 6, 6, 4, 4}};
  CHECK(race.next(start) == 0);
  CHECK(race.next(start) == std::nullopt);
  CHECK(race.due() == start + milliseconds{250});
  CHECK(race.next(start + milliseconds{249}) == std::nullopt);
  CHECK(race.next(start + milliseconds{250}) == 3);
  race.failed(start + milliseconds{260});
  CHECK(race.next(start + milliseconds{260}) == 1);
  CHECK(race.next(start + milliseconds{509}) == std::nullopt);
  CHECK(race.next(start + milliseconds{510}) == 4);
  CHECK(race.next(start + milliseconds{760}) == 2);
  CHECK(race.next(start + milliseconds{9999}) == std::nullopt);
  CHECK(race.due() == std::nullopt);
  CHECK(connect_race{{}}.next(start) == std::nullopt);
}
