#pragma once

#include <cstdint>
#include <random>

namespace ropewalk {

/// Numbers for choices and jitter (xorshift64*): a few instructions each, the same for the same
/// seed, and not for secrets.
class random_source {
public:
  explicit random_source(std::uint64_t seed) : state_(seed | 1) {}

  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1d;
  }

  /// The upper half, which is the more random one.
  std::uint32_t next_32() { return static_cast<std::uint32_t>(next() >> 32); }

  /// 0 to below 1.
  double unit() { return static_cast<double>(next() >> 11) / 0x1p53; }

private:
  std::uint64_t state_;
};

/// A seed that nobody can guess.
inline std::uint64_t unguessable_seed() {
  std::random_device of_the_system;
  return std::uint64_t{of_the_system()} << 32 | of_the_system();
}

} // namespace ropewalk
