#include "net/bytes/announced_memory.hpp"
#include "net/protocol/decoder.hpp"
#include "tests/catch.hpp"

#include <cstring>
#include <memory>
#include <vector>

using namespace ropewalk;

namespace {

constexpr std::size_t message_bytes = std::size_t{1} << 20;

// A client that says how much it will send, and sends a little of it.
struct announcement {
  explicit announcement(const std::string& beginning) {
    from.feed(beginning);
    REQUIRE(from.next() == nullptr);
  }
  decoder from{message_bytes, decoder::mode::binary};
};

// In pages.
std::size_t resident(std::span<char> memory) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data()) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(memory.data() + memory.size());
  std::vector<unsigned char> pages((end - begin + page - 1) / page);
  REQUIRE(::mincore(reinterpret_cast<void*>(begin), end - begin, pages.data()) == 0);
  std::size_t result = 0;
  for (const auto p : pages) result += p & 1U;
  return result;
}

std::size_t resident_of(std::vector<std::unique_ptr<announcement>>& all) {
  std::size_t pages = 0;
  for (auto& one : all) pages += resident(one->from.body_space());
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

} // namespace

TEST_CASE("what is announced and not sent takes no memory, whatever its memory held before") {
  constexpr std::size_t clients = 150;
  const auto beginning = [] {
    std::vector<char> frame;
    append_frame(frame, frame_kind::request, error_code::ok, 1, {},
                 std::string(message_bytes, 'm'));
    return std::string{frame.data(), frame_header_bytes + 3};
  }();
  std::vector<std::unique_ptr<announcement>> all;
  std::vector<std::vector<char>> in_the_way; // of the heap's getting smaller
  for (int round = 0; round < 3; ++round) {
    // Theirs is the memory of messages that were there as a whole.
    for (std::size_t i = 0; i < clients; ++i)
      all.push_back(std::make_unique<announcement>(beginning));
    for (auto& one : all) {
      const auto space = one->from.body_space();
      std::memset(space.data(), 'm', space.size());
      one->from.body_filled(space.size());
    }
    in_the_way.emplace_back(120'000, 'x');
    all.clear();
  }
  for (std::size_t i = 0; i < clients; ++i)
    all.push_back(std::make_unique<announcement>(beginning));
  const auto edges = clients * 2 * 4096;
  CHECK(resident_of(all) <= announced_memory::allowance + edges);
  all.clear();

  // What goes is not announced any more: below the allowance nothing is given back.
  all.push_back(std::make_unique<announcement>(beginning));
  std::memset(all[0]->from.body_space().data(), 'm', message_bytes - 3);
  CHECK(resident(all[0]->from.body_space()) >= message_bytes / 4096);
}
