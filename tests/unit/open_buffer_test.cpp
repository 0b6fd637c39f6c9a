#include "net/protocol/limits.hpp"
#include "net/protocol/open_buffer.hpp"
#include "tests/catch.hpp"

#include <string>

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

TEST_CASE("who takes a share in an open buffer keeps its bytes, and the buffer gets other memory") {
  auto buffer = filled(2 * large, 'a');
  const auto* const memory = buffer.data();
  shared_bytes kept;
  {
    const open_buffer open{buffer};
    kept = open_buffer::share(part(buffer, 100, large)).value();
    REQUIRE(kept.view().data() == memory + 100);
  }
  REQUIRE(buffer.data() != memory);
  buffer.assign(4 * large, 'b');
  REQUIRE(kept.view() == std::string(large, 'a'));
}

TEST_CASE("a buffer in which nobody takes a share keeps its memory") {
  auto buffer = filled(2 * large, 'a');
  const auto* const memory = buffer.data();
  {
    const open_buffer open{buffer};
    REQUIRE_FALSE(open_buffer::share(part(buffer, 0, large - 1))); // a copy is cheaper
  }
  REQUIRE(buffer.data() == memory);
  REQUIRE_FALSE(open_buffer::share(part(buffer, 0, 2 * large))); // it is not open any more
}

TEST_CASE("a small part does not keep a large buffer, and bytes from elsewhere none") {
  auto buffer = filled(8 * large, 'a');
  const auto other = filled(8 * large, 'b');
  const open_buffer open{buffer};
  REQUIRE_FALSE(open_buffer::share(part(buffer, 0, 2 * large)));
  REQUIRE_FALSE(open_buffer::share(part(other, 0, 8 * large)));
  REQUIRE(open_buffer::share(part(buffer, 0, 4 * large)));
}

TEST_CASE("memory whose last share is gone is what the next buffer gets") {
  auto first = filled(2 * large, 'a');
  const auto* const memory = first.data();
  auto take_all = [](std::vector<char>& buffer) {
    const open_buffer open{buffer};
    return open_buffer::share(part(buffer, 0, 2 * large)).value();
  };
  auto kept = take_all(first);
  kept = {};
  auto second = filled(2 * large, 'b');
  const auto other = take_all(second);
  REQUIRE(second.data() == memory);
  REQUIRE(other.view() == std::string(2 * large, 'b'));
}

TEST_CASE("what is large is noted for an open output, and nothing else") {
  std::vector<char> buffer{'h', 'e', 'a', 'd'};
  const std::vector<char> other;
  const auto bytes = shared_bytes::copy_of(std::string(large, 'x'));
  open_output out;
  REQUIRE_FALSE(open_output::insert(buffer, bytes)); // it is not open yet
  out.open(buffer, limits::large_payload_bytes);
  buffer.push_back(':');
  REQUIRE(open_output::insert(buffer, bytes));
  REQUIRE_FALSE(open_output::insert(other, bytes));
  REQUIRE_FALSE(open_output::insert(buffer, bytes.part(0, large - 1)));
  REQUIRE_FALSE(open_output::insert(buffer, shared_bytes::borrow(bytes.view()))); // may not stay
  REQUIRE(out.insertions().size() == 1);
  REQUIRE(out.insertions().front().message == 4);
  REQUIRE(out.insertions().front().at == 5);
  REQUIRE(out.insertions().front().bytes.view().data() == bytes.view().data());
  out.close();
  REQUIRE_FALSE(open_output::insert(buffer, bytes));
}
