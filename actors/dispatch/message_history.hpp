#pragma once

#include "actors/dispatch/request.hpp"
#include "actors/stats/message_report.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

/// What became of messages, within a bound of memory: all that failed or had to be started again,
/// the slowest of every minute and service, and a sample of the others. A message that is answered
/// at its first attempt and is none of these costs a comparison (dispatcher::complete).
namespace ropewalk {

/// Ended messages, at most so many bytes of them: the oldest make room.
class message_ring {
public:
  explicit message_ring(std::uint64_t max_bytes) : max_bytes_(max_bytes) {}

  /// Returns the number by which `take` knows it.
  std::uint64_t push(message_report&& what);

  /// Takes one out; nothing if it is not here any more.
  std::optional<message_report> take(std::uint64_t number);

  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  /// From the last one back, until `each` says false.
  template <class Each>
  void for_each(Each&& each) const {
    for (auto one = kept_.rbegin(); one != kept_.rend(); ++one)
      if (one->ended && !each(*one)) return;
  }

private:
  std::uint64_t max_bytes_;
  std::uint64_t bytes_ = 0;
  std::uint64_t first_ = 0;         // the number of the oldest
  std::deque<message_report> kept_; // one that was taken out has not `ended`
};

/// Of one service: from which time on an answered message is worth keeping.
class notable_times {
public:
  static constexpr std::size_t slowest_a_minute = 5;
  static constexpr std::chrono::minutes minute{1};
  static constexpr std::chrono::seconds sample_interval{1};

  /// `keeps`: whether there is a history.
  explicit notable_times(bool keeps)
      : threshold_(keeps ? std::chrono::nanoseconds{0} : never), keeps_(keeps) {}

  /// What took as long is to be kept. 0 at first, and when a sample is due.
  [[nodiscard]] std::chrono::nanoseconds threshold() const { return threshold_; }

  /// Time goes by: a minute may be over, or a sample due.
  void advance(instant now);

  /// True if it is one of the slowest of this minute; else it is the sample.
  [[nodiscard]] bool is_slow(std::chrono::nanoseconds took) const {
    return count_ < slowest_a_minute || took > slowest_.front().took;
  }

  /// It is kept under that number as one of the slowest; returns the number of the one whose place
  /// it took, if it took one's.
  std::optional<std::uint64_t> add_slow(std::chrono::nanoseconds took, std::uint64_t number);

  /// The sample was taken, or one of the slowest: back to waiting for what is slower.
  void taken();

private:
  static constexpr auto never = std::chrono::nanoseconds::max();

  struct entry {
    std::chrono::nanoseconds took{};
    std::uint64_t number = 0;
  };

  std::chrono::nanoseconds threshold_;
  bool keeps_;
  instant minute_since_{};
  instant sampled_{};
  std::array<entry, slowest_a_minute> slowest_{}; // a heap, the fastest of them first
  std::size_t count_ = 0;
};

/// The history of a dispatcher's messages.
class message_history {
public:
  /// Of what fails, that is not even admitted (BUSY, a second request of one id, ...), so many a
  /// second are kept: a flood of these must not wash away the others.
  static constexpr std::uint32_t refusals_a_second = 10;

  /// Attempts of one message that are kept: the first, and the last ones.
  static constexpr std::size_t max_attempts = 16;

  /// Bytes of an error's text.
  static constexpr std::size_t max_text_bytes = 512;

  explicit message_history(std::uint64_t max_bytes)
      : enabled_(max_bytes > 0), failed_(max_bytes / 2), slow_(max_bytes / 8),
        sampled_(max_bytes / 8), max_past_bytes_(max_bytes / 4) {}

  [[nodiscard]] bool enabled() const { return enabled_; }

  // -- names ----------------------------------------------------------------------------------------

  void name_node(node_number node, std::string_view name);
  void forget_node(node_number node) { nodes_.erase(node); }
  [[nodiscard]] shared_text name_of(node_number node) const;

  /// The text, cut to max_text_bytes; one that is said many times in a row is kept once.
  shared_text text(std::string_view what);

  // -- messages under way -----------------------------------------------------------------------------

  /// An attempt of the request with this index has ended, and the request has not. Where there is no
  /// room for more of them it is not kept.
  void add_past(std::uint32_t index, attempt_report&& what);

  /// Those of a request, and how many were left out.
  struct past {
    std::vector<attempt_report> attempts;
    std::uint32_t left_out = 0;
  };
  [[nodiscard]] const past* past_of(std::uint32_t index) const;
  past take_past(std::uint32_t index);

  // -- messages that have ended -------------------------------------------------------------------------

  void keep_failed(message_report&& what);

  /// What was refused at once: false if enough of these were kept in this second. `keeps_refusal`
  /// counts one.
  [[nodiscard]] bool may_keep_refusal(instant now) const {
    return enabled_ && (now - second_ >= std::chrono::seconds{1} || refusals_ < refusals_a_second);
  }
  [[nodiscard]] bool keeps_refusal(instant now);

  /// One of the slowest of its service, or a sample of it; `times` is the service's.
  void keep_answered(message_report&& what, notable_times& times);

  /// What is of lesser interest than failures: cancelled by its client, given back and answered.
  void keep_sample(message_report&& what);

  /// Adds those that the query is about and `wanted` accepts: the last ones of each kind, or the
  /// slowest, at most its limit of each.
  template <class Wanted>
  void find(const message_query& query, std::vector<message_report>& into, Wanted&& wanted) const {
    using about = message_query::about;
    const auto look = [&](const message_ring& ring) {
      std::uint32_t found = 0;
      ring.for_each([&](const message_report& one) {
        if (wanted(one)) {
          into.push_back(one);
          ++found;
        }
        return found < query.limit;
      });
    };
    switch (query.what) {
    case about::open:
      return;
    case about::failed:
      return look(failed_);
    case about::slow:
      return add_slowest(query, into, wanted);
    case about::recent:
    case about::one:
      look(failed_);
      look(slow_);
      look(sampled_);
    }
  }

private:
  template <class Wanted>
  void add_slowest(const message_query& query, std::vector<message_report>& into,
                   Wanted&& wanted) const {
    std::vector<const message_report*> found;
    slow_.for_each([&](const message_report& one) {
      if (wanted(one)) found.push_back(&one);
      return true;
    });
    const auto end = found.begin() +
                     static_cast<std::ptrdiff_t>(std::min<std::size_t>(found.size(), query.limit));
    std::partial_sort(found.begin(), end, found.end(),
                      [](const auto* a, const auto* b) { return a->took > b->took; });
    std::for_each(found.begin(), end, [&](const auto* one) { into.push_back(*one); });
  }

  bool enabled_;
  message_ring failed_;
  message_ring slow_;
  message_ring sampled_;
  std::unordered_map<node_number, shared_text> nodes_;
  std::unordered_map<std::uint32_t, past> pasts_;
  std::uint64_t max_past_bytes_;
  std::uint64_t past_bytes_ = 0;
  shared_text last_text_;
  instant second_{};
  std::uint32_t refusals_ = 0; // in that second
};

} // namespace ropewalk
