#include "net/protocol/limits.hpp"
#include "net/protocol/receive_lease.hpp"
#include "tests/catch.hpp"

#include <string>
#include <thread>
#include <vector>

using namespace ropewalk;

namespace {

constexpr std::size_t large = limits::large_payload_bytes;

std::vector<char> filled(std::size_t count, char with) {
  return std::vector<char>(count, with);
}

std::string_view part(const std::vector<char>& of, std::size_t from, std::size_t count) {
  return std::string_view{of.data(), of.size()}.substr(from, count);
}

} // namespace

TEST_CASE("who takes a share in received bytes keeps them, and the buffer gets other memory") {
  auto buffer = filled(2 * large, 'a');
  const auto* const memory = buffer.data();
  shared_bytes kept;
  {
    receive_lease lease{buffer, buffer.size()};
    kept = lease.share(part(buffer, 100, large)).value();
    REQUIRE(kept.view().data() == memory + 100);
  }
  REQUIRE(buffer.data() != memory);
  buffer.assign(4 * large, 'b');
  REQUIRE(kept.view() == std::string(large, 'a'));
}

namespace {

// Made before its thread keeps spare buffers, so that it goes when those have gone.
struct gone_last {
  ~gone_last() {
    held.clear();
    auto buffer = filled(2 * large, 'b');
    receive_lease lease{buffer, buffer.size()};
    kept = lease.share(part(buffer, 0, 2 * large)).has_value();
  }
  std::vector<shared_bytes> held;
  static inline bool kept = false;
};

} // namespace

TEST_CASE("shares that are given back when their thread's spare buffers are gone are no trouble") {
  for (int round = 0; round < 20; ++round) {
    gone_last::kept = false;
    std::thread{[] {
      thread_local gone_last last;
      for (int i = 0; i < 20; ++i) {
        auto buffer = filled(2 * large, 'a');
        receive_lease lease{buffer, buffer.size()};
        last.held.push_back(lease.share(part(buffer, 0, 2 * large)).value());
      }
      last.held.resize(10); // these are kept
    }}.join();
    CHECK(gone_last::kept);
  }
}

TEST_CASE("a buffer in which nobody takes a share keeps its memory") {
  auto buffer = filled(2 * large, 'a');
  const auto* const memory = buffer.data();
  {
    receive_lease lease{buffer, buffer.size()};
    REQUIRE_FALSE(lease.share(part(buffer, 0, large - 1))); // a copy is cheaper
  }
  REQUIRE(buffer.data() == memory);
}

TEST_CASE("a small part does not keep a large buffer") {
  auto buffer = filled(8 * large, 'a');
  receive_lease lease{buffer, buffer.size()};
  REQUIRE_FALSE(lease.share(part(buffer, 0, 2 * large)));
  REQUIRE(lease.share(part(buffer, 0, 4 * large)));
}

TEST_CASE("only so many of a buffer's bytes are received ones") {
  auto buffer = filled(8 * large, 'a');
  const receive_lease lease{buffer, 10};
  REQUIRE(lease.view() == part(buffer, 0, 10));
}

TEST_CASE("of bytes that are shared already, any part is a share") {
  const auto bytes = shared_bytes::copy_of(std::string(8 * large, 'a'));
  receive_lease lease{bytes};
  const auto share = lease.share(bytes.view().substr(7, 3)).value();
  REQUIRE(share.view().data() == bytes.view().data() + 7);
  REQUIRE_FALSE(share.borrowed());
}

TEST_CASE("memory whose last share is gone is what the next buffer gets") {
  auto first = filled(2 * large, 'a');
  const auto* const memory = first.data();
  auto take_all = [](std::vector<char>& buffer) {
    receive_lease lease{buffer, buffer.size()};
    return lease.share(part(buffer, 0, 2 * large)).value();
  };
  auto kept = take_all(first);
  kept = {};
  auto second = filled(2 * large, 'b');
  const auto other = take_all(second);
  REQUIRE(second.data() == memory);
  REQUIRE(other.view() == std::string(2 * large, 'b'));
}
