#pragma once

#include <charconv>
#include <concepts>
#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace ropewalk {

/// Writes a JSON text from its beginning to its end. A status has tens of thousands of numbers where
/// there are a thousand services: to build a tree of them first would hold the event loop for a
/// multiple of the time.
///
///     w.begin('{');  w.key("name").text("left");  w.key("slots").number(4);  w.end('}');
class json_writer {
public:
  json_writer& begin(char bracket) {
    separate();
    text_ += bracket;
    first_ = true;
    return *this;
  }
  void end(char bracket) {
    text_ += bracket;
    first_ = false;
  }

  /// `name` needs no escapes. A value is to follow.
  json_writer& key(std::string_view name) {
    separate();
    text_ += '"';
    text_.append(name).append("\":");
    first_ = true;
    return *this;
  }

  /// Whatever it is: what is no UTF-8 in it is replaced.
  void text(std::string_view value);

  void number(std::integral auto value) {
    separate();
    char digits[24];
    text_.append(std::begin(digits),
                 std::to_chars(std::begin(digits), std::end(digits), value).ptr);
  }
  void number(bool value) {
    separate();
    text_ += value ? "true" : "false";
  }
  /// Always with a fraction or an exponent, so that its type does not depend on its value.
  void number(double value);

  [[nodiscard]] std::string take() { return std::move(text_); }

private:
  // A comma before all but the first of an object or a list, and not between a key and its value.
  void separate() {
    if (!first_) text_ += ',';
    first_ = false;
  }

  std::string text_;
  bool first_ = true;
};

} // namespace ropewalk
