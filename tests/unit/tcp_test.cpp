#include "net/client/client.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/endpoint.hpp"
#include "net/transport/outbox.hpp"
#include "net/transport/socket.hpp"
#include "net/transport/unix_socket.hpp"
#include "tests/catch.hpp"

#include <array>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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
    "a reserved port is for listeners that share it; once they listen nobody else can have it") {
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
