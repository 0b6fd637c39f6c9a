// What the load programs of tests/bench/peers share: closed loops that keep `window` messages in
// flight on each connection, and how fast the answers come.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sched.h>
#include <string>
#include <vector>

namespace peers {

struct load_settings {
  int port = 0;
  std::size_t bytes = 64;
  int window = 1;
  double seconds = 1;
  int connections = 8;
};

/// `PROGRAM load PORT BYTES WINDOW SECONDS CONNECTIONS`. With many messages in flight, the load
/// does not interrupt what it measures when it is woken (SCHED_BATCH), here as in `ropewalk bench`.
inline load_settings settings_of(char** argv) {
  const load_settings result{std::atoi(argv[2]), static_cast<std::size_t>(std::atoll(argv[3])),
                             std::atoi(argv[4]), std::atof(argv[5]), std::atoi(argv[6])};
  const sched_param none{};
  if (result.window >= 32) ::sched_setscheduler(0, SCHED_BATCH, &none);
  return result;
}

inline std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

/// A message begins with the time at which it was sent; so does its answer.
inline void stamp(std::string& message, std::uint64_t at) {
  std::memcpy(message.data(), &at, sizeof at);
}

/// Latencies of one connection's answers.
class recorder {
public:
  void answered(const void* message, std::size_t bytes, std::size_t expected_bytes) {
    if (bytes != expected_bytes) {
      std::fprintf(stderr, "an answer of %zu bytes to a message of %zu\n", bytes, expected_bytes);
      std::exit(1);
    }
    std::uint64_t at = 0;
    std::memcpy(&at, message, sizeof at);
    latencies_us_.push_back(static_cast<double>(now_ns() - at) / 1e3);
  }

  [[nodiscard]] const std::vector<double>& latencies_us() const { return latencies_us_; }

private:
  std::vector<double> latencies_us_;
};

/// Prints messages/s, p50 and p99 in us, as `relay load` does.
template <class Recorders>
void report(const Recorders& recorders, double seconds) {
  std::vector<double> all;
  for (const auto& r : recorders)
    all.insert(all.end(), r.latencies_us().begin(), r.latencies_us().end());
  std::sort(all.begin(), all.end());
  auto quantile = [&all](double q) {
    return all.empty()
               ? 0
               : all[std::min(all.size() - 1,
                              static_cast<std::size_t>(q * static_cast<double>(all.size())))];
  };
  std::printf("%.1f %.0f %.0f\n", static_cast<double>(all.size()) / seconds, quantile(0.5),
              quantile(0.99));
}

} // namespace peers
