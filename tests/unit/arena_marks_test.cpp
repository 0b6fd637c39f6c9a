#include "net/bytes/arena_marks.hpp"
#include "net/bytes/shared_bytes.hpp"
#include "tests/catch.hpp"

#include <cstdio>
#include <future>
#include <malloc.h>
#include <memory>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace ropewalk;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) // whose memory is not glibc's

namespace {

constexpr std::size_t mib = 1024 * 1024;

std::size_t resident() {
  const std::unique_ptr<FILE, int (*)(FILE*)> file{std::fopen("/proc/self/statm", "r"),
                                                   &std::fclose};
  unsigned long pages = 0;
  REQUIRE(std::fscanf(file.get(), "%*u %lu", &pages) == 1);
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void burst() {
  std::vector<fresh_bytes> all;
  for (int i = 0; i < 48; ++i) {
    all.emplace_back(mib);
    for (std::size_t at = 0; at < mib; at += 4096) all.back().data()[at] = 'x';
  }
}

} // namespace

TEST_CASE("what a burst has left in the arena of any thread goes back to the system") {
  ::mallopt(M_MMAP_THRESHOLD, 32 * mib);
  ::mallopt(M_TRIM_THRESHOLD, 64 * mib);
  arena_marks::free_all();
  const auto before = resident();
  std::vector<std::thread> threads;
  std::promise<void> end;
  const auto ended = end.get_future().share();
  for (int i = 0; i < 3; ++i) {
    std::promise<void> done;
    threads.emplace_back([&done, ended] {
      burst();
      burst(); // another mark is not needed
      done.set_value();
      ended.wait();
    });
    done.get_future().wait();
  }
  CHECK(resident() > before + 100 * mib);
  for (int again = 0; again < 2; ++again) {
    ::mallopt(M_TRIM_THRESHOLD, 0);
    arena_marks::free_all();
    ::mallopt(M_TRIM_THRESHOLD, 64 * mib);
    ::malloc_trim(0);
    CHECK(resident() < before + 8 * mib);
    burst(); // of this thread: the next round
  }
  end.set_value();
  for (auto& one : threads) one.join();
}

#endif
