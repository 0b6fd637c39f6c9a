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
namespace {

// Made before its thread keeps blocks, so that it goes when those have gone.
struct gone_last {
  ~gone_last() {
    held.clear();
    kept_then = small_blocks::kept_bytes();
    taken_then = shared_bytes::copy_of(std::string(100, 'y')).view() == std::string(100, 'y');
  }
  std::vector<shared_bytes> held;
  static inline std::size_t kept_then = 0;
  static inline bool taken_then = false;
};

} // namespace

TEST_CASE("blocks that are given back when their thread's own are gone already are not kept") {
  gone_last::kept_then = 1;
  std::thread{[] {
    thread_local gone_last last;
    for (int i = 0; i < 100; ++i) last.held.push_back(shared_bytes::copy_of(std::string(100, 'x')));
    last.held.resize(50);
    if (small_blocks::kept_bytes() == 0) gone_last::kept_then = 2;
  }}.join();
  CHECK(gone_last::kept_then == 0);
  CHECK(gone_last::taken_then);
}

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
