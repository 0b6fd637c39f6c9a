#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace ropewalk {

/// Numbers in network byte order, at addresses that need not be aligned.
template <std::unsigned_integral T>
constexpr T swapped_if_little(T x) {
  if constexpr (std::endian::native == std::endian::big || sizeof(T) == 1)
    return x;
  else if constexpr (sizeof(T) == 2)
    return __builtin_bswap16(x);
  else if constexpr (sizeof(T) == 4)
    return __builtin_bswap32(x);
  else
    return __builtin_bswap64(x);
}

template <std::unsigned_integral T>
T load_be(const char* from) {
  T x;
  std::memcpy(&x, from, sizeof x);
  return swapped_if_little(x);
}

template <std::unsigned_integral T>
void store_be(char* to, T x) {
  x = swapped_if_little(x);
  std::memcpy(to, &x, sizeof x);
}

} // namespace ropewalk
