#pragma once

#include "actors/time/instant.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace ropewalk {

/// What a handler prints, cut into lines for the log: so many a second and no more, the rest is
/// counted. Its end is kept, for whoever asks what it said before it died. Asks no clock and writes
/// no log.
class handler_output {
public:
  /// Lines that reach the log within a second, of one process.
  static constexpr std::uint32_t lines_a_second = 20;

  /// A longer line is cut, in bytes.
  static constexpr std::size_t max_line_bytes = 1024;

  /// Hands every line that is to be logged to `log(std::string_view)`, without its end.
  template <class F>
  void add(std::string_view bytes, instant now, F&& log) {
    keep_end(bytes);
    while (!bytes.empty()) {
      const auto end = bytes.find('\n');
      const auto part = bytes.substr(0, end);
      line_.append(part.substr(0, max_line_bytes - std::min(max_line_bytes, line_.size())));
      if (end == std::string_view::npos) return;
      bytes.remove_prefix(end + 1);
      if (may_log(now, log)) log(std::string_view{line_});
      line_.clear();
    }
  }

  /// There is no more of this process: a last line without an end. What was left out is said when the
  /// next one prints.
  template <class F>
  void finish(F&& log) {
    if (!line_.empty()) log(std::string_view{line_});
    line_.clear();
    tail_.clear();
  }

  /// The last things that it printed.
  [[nodiscard]] const std::string& tail() const { return tail_; }

private:
  template <class F>
  bool may_log(instant now, F&& log) {
    if (now - second_ >= std::chrono::seconds{1}) {
      second_ = now;
      logged_ = 0;
      say_left_out(log);
    }
    if (logged_ < lines_a_second) return ++logged_;
    ++left_out_;
    return false;
  }

  template <class F>
  void say_left_out(F&& log) {
    if (left_out_ == 0) return;
    const auto text = "(" + std::to_string(left_out_) + " lines left out)";
    left_out_ = 0;
    log(std::string_view{text});
  }

  void keep_end(std::string_view bytes);

  std::string line_;
  std::string tail_;
  instant second_{};
  std::uint32_t logged_ = 0;
  std::uint64_t left_out_ = 0;
};

} // namespace ropewalk
