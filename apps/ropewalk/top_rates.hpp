#pragma once

#include "actors/time/instant.hpp"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace ropewalk {

/// What a broker counts of nodes and clients without making rates of it: these are of two reports
/// of `ropewalk top`. Pure; the reports are those of net/STATUS.md.
class top_rates {
public:
  /// Adds to a report `answered_per_second` of every node; `requests_per_second`,
  /// `bytes_in_per_second` and `bytes_out_per_second` of every client; and `cpu_percent` of the
  /// process. Of what was not in the report before, or if that was of another broker, there are
  /// none.
  void add_to(nlohmann::json& report, instant now);

private:
  using counts = std::map<std::string, double, std::less<>>;

  counts before_;
  instant then_{};
  double uptime_ = 0; // of the report before: a younger broker is another one
};

} // namespace ropewalk
