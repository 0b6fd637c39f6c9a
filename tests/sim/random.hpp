#pragma once

#include <cmath>
#include <cstdint>

namespace ropewalk::sim {

/// Numbers that depend on nothing but the seed, on any machine (splitmix64).
class random_source {
public:
  explicit random_source(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15 + 1) {}

  std::uint64_t next() {
    auto z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }

  /// 0 to below `end`.
  std::uint32_t below(std::uint32_t end) {
    return static_cast<std::uint32_t>((next() >> 32) * end >> 32);
  }
  std::uint32_t between(std::uint32_t first, std::uint32_t last) {
    return first + below(last - first + 1);
  }
  bool one_in(std::uint32_t n) { return n > 0 && below(n) == 0; }

  /// 0 to below 1.
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  double exponential(double mean) { return -mean * std::log1p(-unit()); }

  /// Bounded Pareto with shape 1.5, as service times with a heavy tail often are: from `least` to
  /// 1,000 times that; the mean is about 2.9 times `least`.
  double heavy_tailed(double least) {
    constexpr double shape = 1.5;
    const double ratio = std::pow(1000.0, -shape);
    return least * std::pow(1 - unit() * (1 - ratio), -1 / shape);
  }

private:
  std::uint64_t state_;
};

} // namespace ropewalk::sim
