#pragma once

#include <string>
#include <string_view>

/// What tests of texts and numbers ask.
namespace ropewalk {

inline bool contains(const std::string& text, std::string_view what) {
  return text.find(what) != std::string::npos;
}

/// To a thousandth of it.
inline bool about(double value, double wanted) {
  return value > 0.999 * wanted && value < 1.001 * wanted;
}

} // namespace ropewalk
