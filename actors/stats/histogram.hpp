#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace ropewalk {

/// Counts durations in buckets that grow with the value, as an HDR histogram does: below 128 ns
/// exact, above with an error under 1 %. 30 KiB, whatever is recorded; recording is a few
/// instructions.
class histogram {
public:
  void record(std::uint64_t ns) {
    ++buckets_[bucket_of(ns)];
    ++count_;
    if (ns > max_) max_ = ns;
  }

  void add(const histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
  }

  /// The value in ns that the part `q` (0 to 1) of all is no larger than; 0 if there are none.
  [[nodiscard]] std::uint64_t quantile(double q) const {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= wanted && seen > 0) return std::min(upper_end(i), max_);
    }
    return max_;
  }

  [[nodiscard]] std::uint64_t max() const { return max_; }
  [[nodiscard]] std::uint64_t count() const { return count_; }

private:
  static constexpr unsigned sub_bits = 7;
  static constexpr std::size_t sub = 1u << sub_bits;

  static std::size_t bucket_of(std::uint64_t v) {
    const auto bits = static_cast<unsigned>(std::bit_width(v));
    if (bits <= sub_bits) return v;
    const unsigned shift = bits - sub_bits;
    return sub + (shift - 1) * (sub / 2) + ((v >> shift) - sub / 2);
  }

  static std::uint64_t upper_end(std::size_t bucket) {
    if (bucket < sub) return bucket;
    const auto shift = static_cast<unsigned>((bucket - sub) / (sub / 2) + 1);
    const auto top = (bucket - sub) % (sub / 2) + sub / 2;
    return ((top + 1) << shift) - 1;
  }

  std::array<std::uint64_t, sub + (64 - sub_bits) * (sub / 2)> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

} // namespace ropewalk
