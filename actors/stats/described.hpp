#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <tuple>
#include <type_traits>

/// Numbers that are described once. A struct of numbers has a `fields`, a constexpr tuple of
/// `described`, one a member; whatever treats all numbers alike (the sum over the shards, the status
/// as JSON, CAF's inspection) goes through `for_each_field`. So to add a number is to add a member
/// and the line in `fields` beside it; `all_described` in a static_assert holds the two together.
namespace ropewalk::stats {

enum class kind {
  counter, ///< only grows
  gauge,   ///< goes up and down
  label,   ///< says what the numbers beside it are of
};

/// How the numbers of several shards become the broker's.
enum class merge {
  sum,
  max,
  any,  ///< true if it is true of one; of bool
  keep, ///< says which node or shard this is: nothing to add up
};

enum class measured_in { one, bytes, seconds };

/// Who may see it: everybody who asks for the status, or only the code.
enum class shown { yes, no };

template <class Owner, class T>
struct described {
  /// `name`: as the status has it.
  constexpr described(std::string_view name, T Owner::*member,
                      stats::kind kind = stats::kind::counter,
                      stats::merge merge = stats::merge::sum,
                      stats::measured_in unit = stats::measured_in::one,
                      stats::shown shown = stats::shown::yes)
      : name(name), member(member), kind(kind), merge(merge), unit(unit), shown(shown) {}

  /// The same, with what it is, for people: whatever has no such sentence is not exported.
  [[nodiscard]] constexpr described as(std::string_view sentence) const {
    auto result = *this;
    result.help = sentence;
    return result;
  }

  std::string_view name;
  T Owner::*member;
  stats::kind kind;
  stats::merge merge;
  stats::measured_in unit;
  stats::shown shown;
  std::string_view help;
};

/// Calls `each` with every field of T.
template <class T, class Each>
constexpr void for_each_field(Each&& each) {
  std::apply([&](const auto&... one) { (each(one), ...); }, T::fields());
}

/// How one value is added to another; sums of arrays are made place by place.
template <class T>
void add_value(T& into, const T& other, merge how) {
  if constexpr (std::is_arithmetic_v<T>) {
    if (how == merge::sum) into = static_cast<T>(into + other);
    if (how == merge::max) into = std::max(into, other);
    if (how == merge::any) into = into || other;
  }
}

template <class T, std::size_t N>
void add_value(std::array<T, N>& into, const std::array<T, N>& other, merge how) {
  for (std::size_t i = 0; i < N; ++i) add_value(into[i], other[i], how);
}

/// Adds another shard's numbers to `into`; a field that is described by fields itself is added by
/// these.
template <class T>
void add_fields(T& into, const T& other) {
  for_each_field<T>([&]<class Number>(const described<T, Number>& f) {
    if constexpr (requires { Number::fields(); })
      add_fields(into.*f.member, other.*f.member);
    else
      add_value(into.*f.member, other.*f.member, f.merge);
  });
}

/// True if `fields` has every member of T. Large members come first, so that there is no padding but
/// at the end: a member that is not described makes T larger than what is.
template <class T>
constexpr bool all_described() {
  std::size_t bytes = 0;
  for_each_field<T>(
      [&]<class Owner, class Number>(const described<Owner, Number>&) { bytes += sizeof(Number); });
  return sizeof(T) < bytes + alignof(T) && bytes <= sizeof(T);
}

} // namespace ropewalk::stats
