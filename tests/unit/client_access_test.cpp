#include "actors/broker/sessions/client_access.hpp"
#include "tests/catch.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

using namespace ropewalk;

TEST_CASE(
    "an IPv4 client is counted by its address on whatever socket it comes, an IPv6 client by its "
    "network") {
  const auto counted_as = [](int family, const char* text) {
    sockaddr_storage peer{};
    peer.ss_family = static_cast<sa_family_t>(family);
    void* const at = family == AF_INET
                         ? static_cast<void*>(&reinterpret_cast<sockaddr_in&>(peer).sin_addr)
                         : &reinterpret_cast<sockaddr_in6&>(peer).sin6_addr;
    REQUIRE(::inet_pton(family, text, at) == 1);
    return client_access::address_of(peer);
  };
  CHECK(counted_as(AF_INET, "192.0.2.1") == counted_as(AF_INET6, "::ffff:192.0.2.1"));
  CHECK(counted_as(AF_INET6, "::ffff:192.0.2.1") != counted_as(AF_INET6, "::ffff:192.0.2.2"));
  CHECK(counted_as(AF_INET6, "2001:db8::1") == counted_as(AF_INET6, "2001:db8::2:1"));
  CHECK(counted_as(AF_INET6, "2001:db8::1") != counted_as(AF_INET6, "2001:db8:0:1::1"));
}
