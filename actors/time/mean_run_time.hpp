#pragma once

#include <optional>

namespace ropewalk {

/// How long messages take, about, as both ends judge it: the broker for a node's credit, the node
/// for its slots. One long run weighs at once, many short ones wear it off.
class mean_run_time {
public:
  /// Nothing is known: the first run is the mean.
  mean_run_time() = default;

  /// As if that had been the mean so far.
  explicit mean_run_time(double assumed_us) : us_(assumed_us), known_(true) {}

  void add(double us) {
    us_ += (us - us_) * (us <= us_ ? fall : known_ ? rise : 1.0);
    known_ = true;
  }

  [[nodiscard]] bool known() const { return known_; }
  [[nodiscard]] double us() const { return us_; } ///< 0 while nothing is known

private:
  static constexpr double rise = 1.0 / 4;
  static constexpr double fall = 1.0 / 32;

  double us_ = 0;
  bool known_ = false;
};

} // namespace ropewalk
