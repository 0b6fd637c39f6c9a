#pragma once

#include <stdexcept>
#include <string>
#include <typeinfo>

namespace ropewalk {

/// What CAF hands out by a base class is of the class that was given to it; where that is wrong,
/// somebody set CAF up otherwise, and this throws std::logic_error with both names.
template <class To, class From>
[[nodiscard]] To& checked_cast(From& from) {
  if (auto* const result = dynamic_cast<To*>(&from)) return *result;
  throw std::logic_error{std::string{"CAF handed out a "} + typeid(from).name() +
                         " in place of a " + typeid(To).name()};
}

} // namespace ropewalk
