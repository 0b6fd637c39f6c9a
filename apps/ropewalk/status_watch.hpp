#pragma once

#include "net/protocol/result.hpp"

#include <string>
#include <vector>

namespace ropewalk {

/// `ropewalk status --watch`: shows what came last on stdout. On a terminal that can place text it
/// stays one screen, each table over the one before; elsewhere each has the time above it; as JSON it
/// is a line each time. That a broker has gone, and is back, is said once each: on the screen, or
/// else on stderr.
class status_watch {
public:
  explicit status_watch(bool json);

  /// An answer to STATUS, or why there is none.
  void show(const result<std::string>& said);

private:
  void show_screen(const std::vector<std::string>& lines) const;
  void say_state(const result<std::string>& said);

  const bool json_;
  const bool screen_;
  bool gone_ = false;
  std::vector<std::string> last_; // the table, for as long as there is no other
};

} // namespace ropewalk
