#include "tests/cluster/terminal.hpp"

#include "tests/catch.hpp"
#include "tests/cluster/processes.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>
#include <utility>

namespace ropewalk {

// -- what is drawn ------------------------------------------------------------------------------------

void drawn_screen::resize(std::size_t width, std::size_t height) {
  width_ = width;
  rows_.resize(height);
  for (auto& row : rows_) row.resize(width, ' ');
  row_ = std::min(row_, height - 1);
  column_ = std::min(column_, width - 1);
  scrolled_ = {0, height};
}

std::vector<std::string> drawn_screen::lines() const {
  auto result = rows_;
  for (auto& line : result) line.erase(line.find_last_not_of(' ') + 1);
  return result;
}

void drawn_screen::write(std::string_view bytes) {
  for (const char c : bytes) {
    if (escape_.empty()) {
      put(c);
      continue;
    }
    escape_ += c;
    if (escape_.size() == 2) {
      if (c == 'M') back_a_line();
      // A character set takes one more; the others that are used say nothing of what is shown.
      if (c != '[' && c != '(' && c != ')') escape_.clear();
    } else if (escape_[1] != '[') {
      escape_.clear();
    } else if (c >= '@' && c <= '~') {
      const auto sequence = std::exchange(escape_, {});
      obey(std::string_view{sequence}.substr(2, sequence.size() - 3), c);
    }
  }
}

void drawn_screen::put(char c) {
  switch (c) {
  case '\x1b':
    escape_ = c;
    return;
  case '\r':
    column_ = 0;
    return;
  case '\n':
    return new_line();
  case '\b':
    column_ -= std::min<std::size_t>(column_, 1);
    return;
  case '\t':
    column_ = std::min((column_ / 8 + 1) * 8, width_ - 1);
    return;
  default:
    break;
  }
  if (static_cast<unsigned char>(c) < ' ') return;
  if (column_ == width_) {
    column_ = 0;
    new_line();
  }
  last_ = c;
  rows_[row_][column_++] = c;
}

void drawn_screen::new_line() {
  if (row_ + 1 != scrolled_.end) {
    row_ = std::min(row_ + 1, rows_.size() - 1);
    return;
  }
  rows_.erase(rows_.begin() + static_cast<std::ptrdiff_t>(scrolled_.begin));
  rows_.insert(rows_.begin() + static_cast<std::ptrdiff_t>(row_), std::string(width_, ' '));
}

void drawn_screen::back_a_line() {
  if (row_ != scrolled_.begin) {
    row_ -= std::min<std::size_t>(row_, 1);
    return;
  }
  rows_.erase(rows_.begin() + static_cast<std::ptrdiff_t>(scrolled_.end) - 1);
  rows_.insert(rows_.begin() + static_cast<std::ptrdiff_t>(row_), std::string(width_, ' '));
}

// A line is put in here, or taken out, and those below it within what scrolls move.
void drawn_screen::move_rows(bool down) {
  const auto last = static_cast<std::ptrdiff_t>(scrolled_.end) - 1;
  const auto here = static_cast<std::ptrdiff_t>(row_);
  rows_.erase(rows_.begin() + (down ? last : here));
  rows_.insert(rows_.begin() + (down ? here : last), std::string(width_, ' '));
}

void drawn_screen::erase(std::size_t row, std::size_t from, std::size_t to) {
  if (from < to) rows_[row].replace(from, to - from, to - from, ' ');
}

void drawn_screen::set_private_mode(std::string_view parameters, bool on) {
  if (parameters == "?25") cursor_shown_ = on;
  if (parameters == "?12;25") cursor_shown_ = on;
  if (parameters != "?1049") return;
  alternate_ = on;
  for (std::size_t i = 0; i < rows_.size(); ++i) erase(i, 0, width_);
}

void drawn_screen::obey(std::string_view parameters, char command) {
  const auto number = [&](std::size_t which, std::size_t otherwise) -> std::size_t {
    auto rest = parameters;
    for (; which > 0 && !rest.empty(); --which)
      rest.remove_prefix(std::min(rest.find(';'), rest.size() - 1) + 1);
    const auto value = std::strtoul(std::string{rest}.c_str(), nullptr, 10);
    return value == 0 ? otherwise : value;
  };
  const auto to_row = [&](std::size_t row) { row_ = std::min(row, rows_.size() - 1); };
  const auto to_column = [&](std::size_t column) { column_ = std::min(column, width_ - 1); };
  const auto n = number(0, 1);
  switch (command) {
  case 'A':
    return to_row(row_ - std::min(row_, n));
  case 'B':
    return to_row(row_ + n);
  case 'C':
    return to_column(column_ + n);
  case 'D':
    return to_column(column_ - std::min(column_, n));
  case 'G':
    return to_column(n - 1);
  case 'd':
    return to_row(n - 1);
  case 'H':
    to_row(n - 1);
    return to_column(number(1, 1) - 1);
  case 'J':
    for (auto row = number(0, 0) == 2 ? 0 : row_ + 1; row < rows_.size(); ++row)
      erase(row, 0, width_);
    if (number(0, 0) == 0) erase(row_, column_, width_);
    break;
  case 'K':
    if (number(0, 0) == 1)
      erase(row_, 0, column_ + 1);
    else
      erase(row_, column_, width_);
    break;
  case 'X':
    erase(row_, column_, std::min(column_ + n, width_));
    break;
  case 'P':
    rows_[row_].erase(column_, n);
    rows_[row_].resize(width_, ' ');
    break;
  case '@':
    rows_[row_].insert(column_, n, ' ');
    rows_[row_].resize(width_);
    break;
  case 'L':
  case 'M':
    for (std::size_t i = 0; i < n && row_ < scrolled_.end; ++i) move_rows(command == 'L');
    break;
  case 'b':
    for (std::size_t i = 0; i < n; ++i) put(last_);
    break;
  case 'h':
  case 'l':
    return set_private_mode(parameters, command == 'h');
  case 'r':
    scrolled_ = {n - 1, std::min(number(1, rows_.size()), rows_.size())};
    row_ = column_ = 0;
    break;
  case 'm':
  case 't':
    break;
  default:
    FAIL("the terminal does not know ESC [ " << parameters << command);
  }
}

// -- the terminal ---------------------------------------------------------------------------------------

terminal::terminal(std::vector<std::string> words, const options& how)
    : screen_(how.width, how.height) {
  winsize size{};
  size.ws_col = static_cast<unsigned short>(how.width);
  size.ws_row = static_cast<unsigned short>(how.height);
  REQUIRE(::openpty(&fd_, &program_end_, nullptr, nullptr, &size) == 0);
  for (const int fd : {fd_, program_end_}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd_, F_SETFL, O_NONBLOCK);
  words.insert(words.begin(), ROPEWALK_PROGRAM);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ != 0) return;
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGTSTP}) ::signal(number, SIG_DFL);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setsid();
  ::ioctl(program_end_, TIOCSCTTY, 0);
  for (const int fd : {0, 1, 2}) ::dup2(program_end_, fd);
  for (const auto* name : {"NO_COLOR", "TERM", "LINES", "COLUMNS"}) ::unsetenv(name);
  for (const auto& [name, value] : how.environment) ::setenv(name.c_str(), value.c_str(), 1);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

terminal::~terminal() {
  if (!status_) {
    ::kill(pid_, SIGCONT);
    ::kill(pid_, SIGKILL);
    wait();
  }
  for (const int fd : {fd_, program_end_}) ::close(fd);
}

void terminal::type(std::string_view keys) const {
  REQUIRE(::write(fd_, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size()));
}

void terminal::resize(std::size_t width, std::size_t height) {
  read_all();
  screen_.resize(width, height);
  winsize size{};
  size.ws_col = static_cast<unsigned short>(width);
  size.ws_row = static_cast<unsigned short>(height);
  REQUIRE(::ioctl(fd_, TIOCSWINSZ, &size) == 0);
}

void terminal::signal(int number) const {
  if (!status_) ::kill(pid_, number);
}

void terminal::hang_up() {
  for (int* fd : {&fd_, &program_end_}) ::close(std::exchange(*fd, ::open("/dev/null", O_RDWR)));
}

void terminal::read_all() {
  char buffer[4096];
  for (ssize_t count = 0; (count = ::read(fd_, buffer, sizeof buffer)) > 0;) {
    written_.append(buffer, static_cast<std::size_t>(count));
    screen_.write({buffer, static_cast<std::size_t>(count)});
  }
}

std::vector<std::string> terminal::lines() {
  read_all();
  return screen_.lines();
}

std::string terminal::text() {
  std::string result;
  for (const auto& line : lines()) result += line + "\n";
  return result;
}

bool terminal::shows(std::string_view what, std::chrono::milliseconds limit) {
  return eventually([&] { return text().find(what) != std::string::npos; }, limit);
}

bool terminal::shows_no(std::string_view what, std::chrono::milliseconds limit) {
  return eventually([&] { return text().find(what) == std::string::npos; }, limit);
}

const std::string& terminal::written() {
  read_all();
  return written_;
}

std::optional<int> terminal::wait(std::chrono::milliseconds limit) {
  // Who writes to a terminal that nobody reads stands still.
  (void)eventually(
      [&] {
        read_all();
        return wait_for_end(pid_, status_, std::chrono::milliseconds{0}).has_value();
      },
      limit);
  read_all();
  return status_;
}

bool terminal::is_as_it_was() {
  read_all();
  termios how{};
  return ::tcgetattr(program_end_, &how) == 0 &&
         (how.c_lflag & (ICANON | ECHO)) == (ICANON | ECHO) && screen_.cursor_shown() &&
         !screen_.alternate();
}

} // namespace ropewalk
