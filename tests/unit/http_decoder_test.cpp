#include "net/http/http_decoder.hpp"
#include "net/http/http_limits.hpp"
#include "tests/catch.hpp"

#include <string>
#include <vector>

using namespace ropewalk;

namespace {

constexpr std::size_t max_body = 1000;

std::string describe(const http_event& event) {
  if (const auto* r = std::get_if<http_request>(&event))
    return r->method + " " + r->target + " [" + std::string{r->body.view()} + "]" +
           (r->keep_alive ? "" : " last");
  if (const auto* h = std::get_if<http_head>(&event))
    return "head " + h->request.method + (h->request.expects_go ? " waits" : "");
  const auto& refusal = std::get<http_refusal>(event);
  REQUIRE_FALSE(refusal.why.empty());
  return "refused " + std::to_string(refusal.status);
}

// All that comes of these bytes, whether they come at once or one by one.
std::vector<std::string> events(std::string_view bytes) {
  std::vector<std::vector<std::string>> results;
  for (const std::size_t piece : {bytes.size() + 1, std::size_t{1}, std::size_t{7}}) {
    http_decoder d{max_body};
    auto& said = results.emplace_back();
    for (auto rest = bytes; !rest.empty();) {
      const std::string part{rest.substr(0, piece)}; // gone when it was taken apart
      rest.remove_prefix(part.size());
      d.feed(part);
      while (const auto* event = d.next()) said.push_back(describe(*event));
      REQUIRE(d.held_bytes() <= max_body + 2 * limits::max_http_head_bytes);
    }
  }
  REQUIRE(results[0] == results[1]);
  REQUIRE(results[0] == results[2]);
  return results[0];
}

using said = std::vector<std::string>;

const std::string host = "Host: x\r\n";

std::string get_with(const std::string& fields) {
  return "GET / HTTP/1.1\r\n" + fields + "\r\n";
}
std::string post_with(const std::string& fields, const std::string& body = {}) {
  return "POST /p HTTP/1.1\r\n" + host + fields + "\r\n" + body;
}

} // namespace

TEST_CASE(
    "requests over HTTP come out as they were sent, one behind the other, however they are cut") {
  CHECK(events(get_with(host)) == said{"GET / []"});
  CHECK(events(get_with(host) + get_with(host) + "\r\n" + get_with(host)).size() == 3);
  CHECK(events(post_with("Content-Length: 3\r\n", "abc") + get_with(host)) ==
        said{"head POST", "POST /p [abc]", "GET / []"});
  CHECK(events(post_with("Content-Length: 0\r\n")) == said{"POST /p []"});
  CHECK(events(post_with("Transfer-Encoding: Chunked\r\n", "3\r\nabc\r\n2;a=b\r\nde\r\n0\r\n\r\n") +
               get_with(host)) == said{"head POST", "POST /p [abcde]", "GET / []"});
  CHECK(events(post_with("Expect: 100-continue\r\nContent-Length: 1\r\n", "a")) ==
        said{"head POST waits", "POST /p [a]"});
}

TEST_CASE("a connection goes on after a request as its version and its Connection field say") {
  CHECK(events(get_with(host + "Connection: close\r\n")) == said{"GET / [] last"});
  CHECK(events("GET / HTTP/1.0\r\n\r\n") == said{"GET / [] last"});
  CHECK(events("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") == said{"GET / []"});
}

TEST_CASE(
    "what two readers could take for two different requests is refused, and nothing behind it "
    "is read") {
  const auto lone = said{"refused 400"};
  const auto chunks = std::string{"0\r\n\r\n"};
  CHECK(events(post_with("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd") + get_with(host)) ==
        lone);
  CHECK(events(post_with("Content-Length: 3\r\nContent-Length: 3\r\n", "abc") + get_with(host)) ==
        lone);
  CHECK(events(post_with("Content-Length: 3, 3\r\n", "abc") + get_with(host)) == lone);
  CHECK(events(post_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", chunks) +
               get_with(host)) == lone);
  CHECK(events(post_with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", chunks) +
               get_with(host)) == lone);
  CHECK(events(post_with("Transfer-Encoding: gzip, chunked\r\n", chunks)) == said{"refused 501"});
  CHECK(events(post_with("Transfer-Encoding: identity\r\n", "abc")) == said{"refused 501"});
  CHECK(events(post_with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", chunks)) ==
        lone);
  CHECK(events(post_with("Transfer-Encoding : chunked\r\n", chunks)) == lone);
  CHECK(events(post_with("Content-Length: +3\r\n", "abc")) == lone);
  CHECK(events(post_with("Content-Length: 99999999999999999999\r\n")) == lone);
  CHECK(events("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks) == lone);
  CHECK(events(get_with(host + host)) == lone);
  CHECK(events(get_with("")) == lone);
  CHECK(events(get_with(host + "Authorization: a\r\nAuthorization: b\r\n")) == lone);
}

TEST_CASE("a trailer says nothing of who asks and where") {
  http_decoder d{max_body};
  const auto bytes =
      post_with("Transfer-Encoding: chunked\r\n",
                "1\r\na\r\n0\r\nAuthorization: Bearer x\r\nHost: y\r\nRopewalk-Key: k\r\n\r\n");
  d.feed(bytes);
  REQUIRE(d.next()); // the head
  const auto* event = d.next();
  REQUIRE(event);
  const auto& request = std::get<http_request>(*event);
  CHECK(request.field(http_field::authorization).empty());
  CHECK(request.field(http_field::key).empty());
  CHECK(request.field(http_field::host) == "x");
}

TEST_CASE("heads, bodies and what stands between chunks have their limits") {
  const std::string long_text(limits::max_http_head_bytes + 100, 'a');
  CHECK(events(get_with(host + "A: " + long_text + "\r\n")) == said{"refused 431"});
  CHECK(events("GET /" + long_text) == said{"refused 431"});
  CHECK(events(post_with("Content-Length: 1001\r\n")) == said{"refused 413"});
  CHECK(events(post_with("Transfer-Encoding: chunked\r\n", "3e9\r\n" + std::string(1001, 'a')))
            .back() == "refused 413");
  CHECK(events(post_with("Transfer-Encoding: chunked\r\n", "1;" + long_text)).back() ==
        "refused 431");
  CHECK(events(post_with("Content-Length: 1000\r\n", std::string(1000, 'a'))).size() == 2);
}

TEST_CASE("what is no HTTP, or not one of its versions, is refused") {
  CHECK(events("\x16\x03\x01 hello\r\n\r\n") == said{"refused 400"});
  CHECK(events("echo hello\r\n\r\n") == said{"refused 400"});
  CHECK(events("GET / HTTP/2.0\r\n\r\n") == said{"refused 505"});
  CHECK(events(post_with("Expect: the-unexpected\r\n")) == said{"refused 417"});
}

TEST_CASE("a decoder of HTTP holds nothing between two requests") {
  http_decoder d{max_body};
  CHECK_FALSE(d.in_message());
  d.feed("POST /p HTTP/1.1\r\nHo");
  CHECK_FALSE(d.next());
  CHECK(d.in_message());
  CHECK_FALSE(d.in_body());
  d.feed("st: x\r\nContent-Length: 4\r\n\r\nab");
  REQUIRE(d.next());
  CHECK_FALSE(d.next());
  CHECK(d.in_body());
  CHECK(d.held_bytes() == 2);
  d.feed("cd");
  REQUIRE(d.next());
  CHECK_FALSE(d.next());
  CHECK_FALSE(d.in_message());
  CHECK(d.held_bytes() == 0);
}
