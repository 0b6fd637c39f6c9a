#pragma once

#include "actors/stats/message_report.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace ropewalk {

/// What every span of a broker has in common.
struct otlp_resource {
  std::string version;  ///< the broker's release
  std::string instance; ///< which broker this is
};

/// The same moment by both clocks: nanoseconds since 1970 began, and ours.
struct moment {
  instant here{};
  std::chrono::nanoseconds wall{};
};

/// Messages that have ended, each with a trace, as the JSON of OTLP's ExportTraceServiceRequest
/// (opentelemetry-proto 1.x): a span for each message (kind server), and beneath it one for each of
/// its attempts (kind client). `random`: 64 bits for the spans' ids.
std::string otlp_request(const std::vector<message_report>& messages, const otlp_resource& resource,
                         const moment& now, const std::function<std::uint64_t()>& random);

} // namespace ropewalk
