#include "net/protocol/compact_codec.hpp"
#include "net/protocol/limits.hpp"
#include "tests/catch.hpp"

#include <string>

using namespace ropewalk;

namespace {

constexpr std::size_t large = limits::large_payload_bytes;

struct written {
  std::vector<char> buffer{'h', 'e', 'a', 'd'};
  std::vector<spliced_bytes> splices;
  splice_scope scope{buffer, splices, large};
};

std::string text(const std::vector<char>& bytes) {
  return {bytes.data(), bytes.size()};
}

} // namespace

TEST_CASE("what is large is noted where it belongs, and nothing else is") {
  written to;
  const auto bytes = shared_bytes::copy_of(std::string(large, 'x'));
  *to.scope.extend(1) = ':';
  to.scope.append(bytes);
  REQUIRE(text(to.buffer) == "head:");
  REQUIRE(to.splices.size() == 1);
  REQUIRE(to.splices.front().at == 5);
  REQUIRE(to.splices.front().bytes.view().data() == bytes.view().data());
  to.scope.append(bytes.part(0, large - 1));
  REQUIRE(to.buffer.size() == 5 + large - 1);
  to.scope.append(shared_bytes::borrow(bytes.view())); // may not stay
  REQUIRE(to.buffer.size() == 5 + large - 1 + large);
  REQUIRE(to.splices.size() == 1);
}

TEST_CASE("numbers and batches come back as they were written") {
  written to;
  compact_writer writer{to.scope};
  writer.put(std::uint16_t{0x0102});
  writer.put(std::uint64_t{0x0304});
  writer.put(batch{{shared_bytes::copy_of("ab"), shared_bytes::copy_of("c")}});
  writer.put(batch{});
  REQUIRE(text(to.buffer) == std::string("head\1\2\0\0\0\0\0\0\3\4\0\0\0\3abc\0\0\0\0", 25));
  REQUIRE(writer.bytes() == to.buffer.size() - 4);
  auto received = std::vector<char>(to.buffer.begin() + 4, to.buffer.end());
  receive_lease lease{received, received.size()};
  compact_reader reader{lease};
  std::uint16_t first = 0;
  std::uint64_t second = 0;
  batch third;
  batch fourth{{shared_bytes::copy_of("old")}};
  REQUIRE((reader.get(first) && reader.get(second) && reader.get(third) && reader.get(fourth)));
  REQUIRE(reader.at_end());
  REQUIRE(first == 0x0102);
  REQUIRE(second == 0x0304);
  REQUIRE(third.flat().view() == "abc");
  REQUIRE(fourth.empty());
}

TEST_CASE("a payload's length counts what is spliced") {
  written to;
  compact_writer writer{to.scope};
  writer.put(batch{{shared_bytes::copy_of(std::string(large, 'x')), shared_bytes::copy_of("y")}});
  REQUIRE(writer.bytes() == 4 + large + 1);
  REQUIRE(to.buffer.size() == 4 + 4 + 1);
}

TEST_CASE("bytes that are not there are not read, whatever a length says") {
  std::vector<char> received{0, 0, 0, 4, 'a', 'b', 'c'};
  receive_lease lease{received, received.size()};
  compact_reader reader{lease};
  batch what;
  REQUIRE_FALSE(reader.get(what));
  std::uint64_t number = 0;
  REQUIRE_FALSE(compact_reader{lease}.get(number));
}
