#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace ropewalk {

/// What sort of failure it is: what whoever called may expect of trying again. A closed set, and
/// not that of the protocol's answers (error.hpp): most failures never reach a client.
enum class failure_kind : std::uint8_t {
  bad_input,   ///< what somebody wrote makes no sense: it will not the next time either
  unavailable, ///< what it takes (a host, a file, a program) is not there: it may be later
  refused,     ///< one side does not trust the other, or may not do that
  exhausted,   ///< this machine has no more of it: descriptors, memory, ports, random numbers
};

/// Why something was not done.
struct failure {
  failure_kind kind = failure_kind::unavailable;
  std::string what;   ///< a sentence for people, without the full stop; names what it is about
  std::string advice; ///< what to do about it; empty where `what` says it, or there is nothing

  /// Both, for a log or a terminal.
  [[nodiscard]] std::string text() const { return advice.empty() ? what : what + "; " + advice; }
};

/// A T, or why there is none: the one way in which a call says that it failed. Its reader must ask
/// before it takes the value; to take what is not there is a mistake in the program, and throws
/// std::bad_variant_access.
template <class T>
class [[nodiscard]] result {
public:
  result(T value) : content_(std::in_place_index<0>, std::move(value)) {}
  result(failure why) : content_(std::in_place_index<1>, std::move(why)) {}

  /// True if there is a value.
  explicit operator bool() const { return content_.index() == 0; }

  [[nodiscard]] T& value() & { return std::get<0>(content_); }
  [[nodiscard]] const T& value() const& { return std::get<0>(content_); }
  [[nodiscard]] T&& value() && { return std::get<0>(std::move(content_)); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  /// Why there is no value.
  [[nodiscard]] const failure& why() const& { return std::get<1>(content_); }
  [[nodiscard]] failure&& why() && { return std::get<1>(std::move(content_)); }

private:
  std::variant<T, failure> content_;
};

/// Of what has nothing to give back: that it was done, or why not.
template <>
class [[nodiscard]] result<void> {
public:
  result() = default;
  result(failure why) : why_(std::move(why)) {}

  /// True if it was done.
  explicit operator bool() const { return !why_; }

  /// Why it was not.
  [[nodiscard]] const failure& why() const& { return why_.value(); }
  [[nodiscard]] failure&& why() && { return std::move(why_).value(); }

private:
  std::optional<failure> why_;
};

} // namespace ropewalk
