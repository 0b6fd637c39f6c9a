#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

namespace ropewalk {

/// What a terminal shows that programs write to: as much of an xterm as ncurses makes use of.
class drawn_screen {
public:
  drawn_screen(std::size_t width, std::size_t height) { resize(width, height); }

  void write(std::string_view bytes);
  void resize(std::size_t width, std::size_t height);

  /// The lines, without the blanks at their ends.
  [[nodiscard]] std::vector<std::string> lines() const;

  [[nodiscard]] bool cursor_shown() const { return cursor_shown_; }
  /// The screen that a program may have for itself, and whose end shows the other one again.
  [[nodiscard]] bool alternate() const { return alternate_; }

private:
  void put(char c);
  void new_line();
  void back_a_line();
  void obey(std::string_view parameters, char command);
  void erase(std::size_t row, std::size_t from, std::size_t to);
  void move_rows(bool down);
  void set_private_mode(std::string_view parameters, bool on);

  // Rows that move up when there is a new line below them.
  struct region {
    std::size_t begin = 0;
    std::size_t end = 0;
  };

  std::vector<std::string> rows_;
  region scrolled_;
  std::size_t width_ = 0;
  std::size_t row_ = 0;
  std::size_t column_ = 0;
  char last_ = ' ';
  std::string escape_; // a sequence that has begun
  bool cursor_shown_ = true;
  bool alternate_ = false;
};

/// A program on a pseudo-terminal of its own: keys go in, what it has drawn can be looked at. It is
/// killed at the end of the test.
class terminal {
public:
  struct options {
    std::size_t width = 80;
    std::size_t height = 24;
    std::map<std::string, std::string> environment{{"TERM", "xterm"}};
  };

  /// Runs `ropewalk` with these words.
  explicit terminal(std::vector<std::string> words) : terminal(std::move(words), options{}) {}
  terminal(std::vector<std::string> words, const options& how);
  terminal(const terminal&) = delete;
  terminal& operator=(const terminal&) = delete;
  ~terminal();

  void type(std::string_view keys) const;
  void resize(std::size_t width, std::size_t height);
  void signal(int number) const;
  /// Nobody is at the terminal any more.
  void hang_up();

  /// What is on the screen now, a line each.
  [[nodiscard]] std::vector<std::string> lines();
  [[nodiscard]] std::string text();

  /// True as soon as the text is there, or is not; false if that is not so within `limit`.
  bool shows(std::string_view what, std::chrono::milliseconds limit = std::chrono::seconds{10});
  bool shows_no(std::string_view what, std::chrono::milliseconds limit = std::chrono::seconds{10});

  /// All bytes that it has written.
  [[nodiscard]] const std::string& written();

  /// The exit status, or 128 + the signal that ended it; nothing if it still runs after `limit`.
  std::optional<int> wait(std::chrono::milliseconds limit = std::chrono::seconds{10});

  /// Lines are edited and shown as they are typed, the cursor is there: as a shell wants it.
  [[nodiscard]] bool is_as_it_was();

private:
  void read_all();

  drawn_screen screen_;
  std::string written_;
  pid_t pid_ = -1;
  int fd_ = -1;
  int program_end_ = -1; // kept open, to ask how the terminal is set when the program has ended
  std::optional<int> status_;
};

} // namespace ropewalk
