#include "tests/bench/hot_path.hpp"

#include <cstdio>
#include <cstdlib>
#include <new>

/// A fixed run of the hot path: `hot_path TURNS BYTES` prints how often memory was allocated. What
/// it costs in instructions, callgrind counts (tests/bench/guard).

namespace {

unsigned long long allocations = 0;

} // namespace

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc{};
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto turns = std::strtoul(argv[1], nullptr, 10);
  ropewalk::bench::hot_path path{std::strtoul(argv[2], nullptr, 10)};
  for (int i = 0; i < 20; ++i) path.turn(); // until everything has the size that it keeps
  const auto before = allocations;
  for (unsigned long i = 0; i < turns; ++i) path.turn();
  std::printf("%llu %lu\n", allocations - before, turns * path.messages_a_turn());
}
