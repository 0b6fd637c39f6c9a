#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

namespace ropewalk {

/// Hashes what strangers choose (ids, ordering keys, names, addresses) so that nobody who does not
/// know the seed can choose values that collide: products of 64 x 64 bits, folded, with four secret
/// numbers (the construction of wyhash). No cryptography: what is hidden is the time that a look-up
/// takes, not what is looked up.
class keyed_hash {
public:
  /// The same seed hashes the same: a simulated world can be run again. A real process takes one
  /// that cannot be guessed.
  explicit keyed_hash(std::uint64_t seed) {
    for (auto& secret : secrets_) secret = mix(seed += 0x9e3779b97f4a7c15) | 1;
  }

  /// Of two numbers.
  [[nodiscard]] std::uint64_t operator()(std::uint64_t a, std::uint64_t b) const {
    return fold(fold(a ^ secrets_[0], b ^ secrets_[1]) ^ secrets_[2], secrets_[3]);
  }

  /// Of a text of any length.
  [[nodiscard]] std::uint64_t operator()(std::string_view text) const {
    auto state = secrets_[0] ^ text.size();
    for (; text.size() > 16; text.remove_prefix(16))
      state = fold(word(text) ^ secrets_[1] ^ state, word(text.substr(8)) ^ secrets_[2]);
    const auto first = word(text);
    const auto rest = text.size() > 8 ? word(text.substr(8)) : 0;
    return fold(fold(first ^ secrets_[1] ^ state, rest ^ secrets_[2]) ^ state, secrets_[3]);
  }

private:
  static std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
    __extension__ using wide = unsigned __int128;
    const auto product = static_cast<wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }

  static std::uint64_t mix(std::uint64_t x) { // splitmix64
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  // The first eight bytes, or as many as there are.
  static std::uint64_t word(std::string_view text) {
    std::uint64_t result = 0;
    std::memcpy(&result, text.data(), text.size() < 8 ? text.size() : 8);
    return result;
  }

  std::uint64_t secrets_[4];
};

/// keyed_hash for std::unordered_map with texts as keys.
struct keyed_text_hash {
  using is_transparent = void;
  keyed_hash hash;
  std::size_t operator()(std::string_view text) const { return hash(text); }
};

} // namespace ropewalk
