#include "net/bytes/shared_bytes.hpp"
#include "net/bytes/small_blocks.hpp"
#include "tests/catch.hpp"

#include <string>
#include <thread>
#include <vector>

using namespace ropewalk;

TEST_CASE("blocks of every size hold what they are for, however they come and go") {
  std::vector<shared_bytes> held;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t size = 1; size < small_blocks::largest + 200; size += 7)
      held.push_back(shared_bytes::copy_of(std::string(size, static_cast<char>('a' + size % 26))));
    for (std::size_t i = 0; i < held.size(); i += 2) held[i] = {};
    for (const auto& bytes : held)
      for (const char c : bytes.view()) REQUIRE(c == static_cast<char>('a' + bytes.size() % 26));
    std::erase_if(held, [](const shared_bytes& b) { return b.empty(); });
  }
}

TEST_CASE("a block that another thread gives back is no trouble") {
  for (int round = 0; round < 10; ++round) {
    std::vector<shared_bytes> held;
    for (int i = 0; i < 10'000; ++i) held.push_back(shared_bytes::copy_of(std::string(100, 'x')));
    std::thread{[held = std::move(held)]() mutable { held.clear(); }}.join();
  }
}

#ifndef __SANITIZE_ADDRESS__
TEST_CASE("what is given back is taken again, up to a limit") {
  void* const block = small_blocks::take(100);
  small_blocks::give(block, 100);
  REQUIRE(small_blocks::take(120) == block); // of the same size class
  small_blocks::give(block, 120);
  std::vector<void*> many;
  for (std::size_t bytes = 0; bytes < 2 * small_blocks::max_kept; bytes += small_blocks::largest)
    many.push_back(small_blocks::take(small_blocks::largest));
  for (void* one : many) small_blocks::give(one, small_blocks::largest);
  REQUIRE(small_blocks::kept_bytes() <= small_blocks::max_kept);
  REQUIRE(small_blocks::kept_bytes() > small_blocks::max_kept / 2);
}
#endif
