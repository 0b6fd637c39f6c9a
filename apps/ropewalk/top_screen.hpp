#pragma once

#include "apps/ropewalk/top_view.hpp"

#include <cstddef>
#include <optional>
#include <vector>

namespace ropewalk {

/// The terminal that `ropewalk top` has to itself, by ncurses; as long as this lives. One thread.
class top_screen {
public:
  /// find_terminal_trouble must have found none.
  top_screen();
  ~top_screen(); ///< the terminal is as it was
  top_screen(const top_screen&) = delete;
  top_screen& operator=(const top_screen&) = delete;

  struct size {
    std::size_t width;
    std::size_t height;
  };
  [[nodiscard]] size dimensions() const;

  /// The terminal has another size now.
  void resize();

  /// The lines from the top; each is to be as wide as the screen.
  void draw(const std::vector<top_line>& lines);

  /// The next key that was pressed; nothing if none was, or an unknown one.
  std::optional<top_key> key();

private:
  bool colour_ = false;
};

} // namespace ropewalk
