#include "actors/supervise/restart_policy.hpp"

#include <algorithm>

namespace ropewalk {

namespace {

milliseconds doubled(milliseconds first, milliseconds longest, std::size_t times) {
  auto pause = first;
  for (std::size_t i = 0; i < times && pause < longest; ++i) pause *= 2;
  return std::min(pause, longest);
}

milliseconds with_jitter(milliseconds pause, double jitter, double random) {
  return milliseconds{static_cast<std::int64_t>(static_cast<double>(pause.count()) *
                                                (1 - jitter + 2 * jitter * random))};
}

} // namespace

std::optional<milliseconds> restart_policy::on_exit(instant now,
                                                    std::optional<std::uint64_t> cause) {
  while (!recent_.empty() && now - recent_.front().at >= with_.window) recent_.pop_front();
  const bool again = cause && std::any_of(recent_.begin(), recent_.end(),
                                          [&](const fall& f) { return f.cause == cause; });
  const auto counted =
      std::count_if(recent_.begin(), recent_.end(), [](const fall& f) { return f.counts; });
  if (!again && static_cast<std::size_t>(counted) >= with_.restarts) return std::nullopt;
  const auto pause = doubled(with_.first_pause, with_.longest_pause, recent_.size());
  recent_.push_back({now, cause, !again});
  ++granted_;
  return with_jitter(pause, with_.jitter, random_.unit());
}

milliseconds backoff::next() {
  return with_jitter(doubled(first_, longest_, tries_++), 0.2, random_.unit());
}

} // namespace ropewalk
