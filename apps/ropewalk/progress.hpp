#pragma once

#include "actors/time/instant.hpp"

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>

namespace ropewalk {

/// How far a command is that takes long, and how long it will take: one line on a terminal, drawn
/// over itself, from two seconds on. Nothing where stderr is none.
class progress {
public:
  /// Writes to stderr, if that is a terminal. `start`: when the command began.
  explicit progress(instant start);

  /// The same, wherever `to` leads; null: nowhere.
  progress(std::ostream* to, instant start) : to_(to), start_(start), next_(start + first_after) {}

  ~progress() { hide(); }
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;

  /// True if it is time to draw it: five times a second.
  [[nodiscard]] bool due(instant now) const { return to_ && now >= next_; }

  /// Draws it. `done`: which part of all is done, 0 to 1; `what`: the same in words.
  void show(std::string_view what, double done, instant now);

  /// Takes it off the screen, so that something else can be printed.
  void hide();

private:
  static constexpr milliseconds first_after{2000};
  static constexpr milliseconds interval{200};

  std::ostream* const to_;
  const instant start_;
  instant next_;
  std::size_t drawn_ = 0; // characters
};

} // namespace ropewalk
