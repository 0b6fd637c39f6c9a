#include "actors/admin/http_guard.hpp"
#include "actors/admin/http_headers.hpp"
#include "actors/admin/http_problem.hpp"
#include "actors/admin/http_routes.hpp"
#include "tests/catch.hpp"

#include <nlohmann/json.hpp>

using namespace ropewalk;
using namespace std::chrono_literals;

TEST_CASE("a path leads to one route, and a service's name is what it says when it is decoded") {
  CHECK(place_of("/healthz").route == http_route::health);
  CHECK(place_of("/readyz").route == http_route::ready);
  CHECK(place_of("/status?pretty").route == http_route::status);
  CHECK(place_of("/metrics").route == http_route::metrics);
  CHECK(place_of("/").route == http_route::page);
  CHECK(place_of("/events").route == http_route::events);
  CHECK(place_of("/openapi.json").route == http_route::openapi);
  CHECK(place_of("/index.html").route == http_route::nothing);
  CHECK(place_of("/metrics/").route == http_route::nothing);
  CHECK(place_of("*").route == http_route::nothing);
  CHECK(place_of("/v1/services/a%2Fb/c?x").service == "a/b/c");
  CHECK(place_of("/v1/services/%4a%4A").service == "JJ");
  for (const std::string_view none :
       {"/v1/services/", "/v1/services/%", "/v1/services/%4", "/v1/services/%zz", "/v1/services"})
    CHECK(place_of(none).route == http_route::nothing);
  CHECK(place_of("/v1/services/" + std::string(129, 'a')).route == http_route::nothing);
  CHECK(place_of("/v1/drain/a%2Fb").action.target == "a/b");
  CHECK(place_of("/v1/resume/x?y").action.verb == operator_verb::resume);
  CHECK(place_of("/v1/drain/").route == http_route::nothing);
  CHECK(place_of("/v1/explode/x").route == http_route::nothing);
  CHECK(place_of("/v1/drain/" + std::string(1025, 'a')).route == http_route::nothing);
  CHECK(place_of("/v1/cancel/0.17.2-42?x").message == "0.17.2-42");
  CHECK(place_of("/v1/cancel/").route == http_route::nothing);
  const std::string odd{"a b/%3C<&?#\xff\0c", 13};
  CHECK(encode_percent("a/b-1.2~_@") == "a/b-1.2~_%40");
  CHECK(decode_percent(encode_percent(odd)) == odd);
  CHECK(place_of("/v1/drain/" + encode_percent(odd)).action.target == odd);
  const auto whole = place_of("http://localhost:80/status");
  CHECK(whole.route == http_route::status);
  CHECK(whole.origin == "localhost:80");
}

TEST_CASE("nothing is done by GET, and nothing is seen by POST") {
  CHECK(allows(http_route::service, "POST"));
  CHECK_FALSE(allows(http_route::service, "GET"));
  CHECK_FALSE(allows(http_route::status, "POST"));
  CHECK(allows(http_route::status, "HEAD"));
  CHECK_FALSE(allows(http_route::status, "get"));
  CHECK_FALSE(allows(http_route::nothing, "GET"));
  CHECK(allows(http_route::action, "POST"));
  CHECK_FALSE(allows(http_route::action, "GET"));
  CHECK_FALSE(allows(http_route::action, "HEAD"));
  CHECK(allows(http_route::cancel, "POST"));
  CHECK_FALSE(allows(http_route::cancel, "GET"));
  CHECK_FALSE(allows(http_route::cancel, "HEAD"));
  CHECK(allows(http_route::page, "HEAD"));
  CHECK_FALSE(allows(http_route::page, "POST"));
  CHECK_FALSE(allows(http_route::events, "POST"));
}

TEST_CASE("a name that leads to loopback by its owner's doing is not taken for ours") {
  const http_guard guard{"box.example", true};
  const auto status = [&](std::string_view host) {
    const auto why = guard.check(host, {}, {});
    return why ? why->status : 0;
  };
  for (const std::string_view fine : {"localhost", "LocalHost:8080", "127.0.0.1:8080", "127.9.9.9",
                                      "[::1]:80", "[::1]", "box.example:80", ""})
    CHECK(status(fine) == 0);
  for (const std::string_view foreign :
       {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80",
        "10.0.0.1", "[::2]", "box.example.evil"})
    CHECK(status(foreign) == 421);
  const http_guard open{"0.0.0.0", false};
  CHECK_FALSE(open.check("evil.example", {}, {}));
  // Beyond loopback, where nobody has to say who he is.
  const http_guard named{"broker.example", false, true};
  for (const std::string_view fine : {"broker.example:80", "localhost", "10.0.0.1:80", "[fd00::1]"})
    CHECK_FALSE(named.check(fine, {}, {}));
  CHECK(named.check("evil.example", {}, {})->status == 421);
  const http_guard known{"broker.example", false, false};
  CHECK_FALSE(known.check("proxy.example", {}, {}));
  const http_guard v6{"::1", true};
  CHECK_FALSE(v6.check("[::1]:8080", {}, {}));
}

TEST_CASE("a page of another site gets nothing done") {
  const http_guard guard{"127.0.0.1", true};
  CHECK_FALSE(guard.check("localhost:80", "http://localhost:80", "same-origin"));
  CHECK(guard.check("localhost:80", "http://localhost:81", {})->status == 403);
  CHECK(guard.check("localhost:80", "https://evil.example", {})->status == 403);
  CHECK(guard.check("localhost:80", "null", {})->status == 403);
  CHECK(guard.check("localhost:80", {}, "cross-site")->status == 403);
  CHECK_FALSE(guard.check("localhost:80", {}, "none"));
  // Behind a proxy the page's host is another; that it is the same site is the browser's to say.
  CHECK_FALSE(guard.check("localhost", "https://box.example", "same-origin"));
  CHECK(guard.check("localhost", "https://box.example", {})->status == 403);
  CHECK(guard.check("localhost", "https://box.example", "same-site")->status == 403);
  CHECK(guard.check("evil.example", "http://evil.example", "same-origin")->status == 421);
}

TEST_CASE("every error of the closed set has its status in HTTP, and says why in JSON") {
  const std::pair<error_code, int> wanted[] = {
      {error_code::failed, 422},      {error_code::timeout, 504},
      {error_code::busy, 429},        {error_code::no_service, 404},
      {error_code::too_large, 413},   {error_code::worker_lost, 502},
      {error_code::bad_request, 400}, {error_code::unauthorized, 403},
      {error_code::draining, 503},    {error_code::cancelled, 409}};
  CHECK(std::size(wanted) + 1 == error_codes);
  for (const auto& [code, status] : wanted) CHECK(http_status_of(code) == status);
  const auto problem = nlohmann::json::parse(http_problem(422, "FAILED", "\xff \"no\""));
  CHECK(problem["status"] == 422);
  CHECK(problem["code"] == "FAILED");
  CHECK(problem["title"] == "Unprocessable Content");
  CHECK(problem["detail"] == "\xef\xbf\xbd \"no\"");
}

TEST_CASE("what a request says in fields of ours is read, or said what it wants") {
  http_request r;
  const auto set = [&](http_field which, std::string value) {
    r.fields[static_cast<std::size_t>(which)] = std::move(value);
  };
  REQUIRE(read_http_options(r));
  set(http_field::timeout, "250ms");
  set(http_field::attempts, "2");
  set(http_field::priority, "high");
  const auto all = read_http_options(r);
  REQUIRE(all);
  CHECK(all->timeout == 250ms);
  CHECK(all->attempts == 2);
  CHECK(all->priority == 2);
  for (const auto& [which, wrong] : {std::pair{http_field::timeout, "5 days"},
                                     {http_field::attempts, "0"},
                                     {http_field::attempts, "2x"},
                                     {http_field::priority, "urgent"}}) {
    auto bad = r;
    bad.fields[static_cast<std::size_t>(which)] = wrong;
    CHECK_FALSE(read_http_options(bad));
  }
  set(http_field::key, std::string(256, 'k'));
  CHECK_FALSE(read_http_options(r));
  CHECK(bearer_token("Bearer  abc") == "abc");
  CHECK(bearer_token("bearer abc") == "abc");
  CHECK_FALSE(bearer_token("Basic abc"));
  CHECK_FALSE(bearer_token("Bearer"));
}
