#include "net/protocol/limits.hpp"
#include "net/tcp/endpoint.hpp"
#include "net/tcp/outbox.hpp"
#include "net/tcp/socket.hpp"
#include "tests/catch.hpp"

#include <array>
#include <fcntl.h>
#include <sys/socket.h>
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
  REQUIRE(std::get<socket_error>(refused).what.find("127.0.0.1:1") != std::string::npos);
  const auto first = listen_tcp({"127.0.0.1", 0});
  const auto taken = listen_tcp(local_endpoint(std::get<descriptor>(first).get()));
  REQUIRE(std::get<socket_error>(taken).what.find("another process listens there") !=
          std::string::npos);
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
  out.weave(std::vector<open_output::insertion>{{7, 12, x}, {7, 12, y}, {7, 20, z}});
  put(out, "|more");
  out.weave({});
  out.weave(std::vector<open_output::insertion>{{0, 8, x}}); // at the very end
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
