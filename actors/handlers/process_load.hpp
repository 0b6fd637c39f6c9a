#pragma once

#include "actors/time/instant.hpp"
#include "net/protocol/batch.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace ropewalk {

/// The requests that one process runs at a time, and whose fault it is when it ends: which of them
/// is over its time, who was running beside whom. Asks no clock.
///
/// A request is named to the process by an id which is never used twice, so that an answer that
/// comes twice is known as one that nobody asked for.
class process_load {
public:
  struct request {
    std::uint32_t seat = 0; ///< the owner's number of the place that it takes
    instant deadline{};
    bool alone = false;                      ///< nothing is to run beside it
    const std::atomic<bool>* stop = nullptr; ///< becomes true when nobody wants the answer any more
  };

  /// It runs from now on; returns its id, which is not 0. What is to run alone begins when nothing
  /// else runs, and nothing begins beside it.
  std::uint64_t begin(const request& what, instant now);

  struct ended {
    std::uint32_t seat = 0;
    microseconds run_time{0};
    error_code notified =
        error_code::ok; ///< why it was notified to stop (take_unwanted); ok: it was not
  };

  /// Its answer has come. Nothing if no such request runs.
  std::optional<ended> end(std::uint64_t id, instant now);

  /// The place that a request takes which runs.
  [[nodiscard]] std::uint32_t seat_of(std::uint64_t id) const;

  [[nodiscard]] std::size_t running() const { return running_; }

  /// Something runs that has to be alone.
  [[nodiscard]] bool exclusive() const { return exclusive_; }

  /// Those that are over their time, or that nobody wants any more, since the last call: they are
  /// to be notified, and have `timeout` from now on to answer.
  std::vector<std::uint64_t> take_unwanted(instant now, milliseconds timeout);

  /// True if one that was notified has not answered in time: the process is to be ended.
  [[nodiscard]] bool is_overdue(instant now) const;

  struct verdict {
    std::uint32_t seat = 0;
    item_end end = item_end::crashed;
    error_code code = error_code::ok; ///< if `end` is `answered`
    microseconds run_time{0};
  };

  /// What becomes of the message that ran there; `why`, for people, where that is no answer.
  static answer_item answer_for(const work_head& what, const verdict& how, std::string_view why);

  /// What has begun so far was said to the process, as far as it takes it.
  void said() { said_ = begun_; }

  /// The process has come to its end by itself: what ran alone died of it, or it died of that; of
  /// several it is not known which. What was never said to it was not started. Nothing runs
  /// afterwards.
  std::vector<verdict> died(instant now);

  /// It was ended because something was overdue (is_overdue): that is answered for, and nothing
  /// else has to do with it.
  std::vector<verdict> ended_overdue(instant now);

  /// It was ended, or ended itself, for a reason that no request has to do with.
  std::vector<verdict> ended_by_others(instant now);

private:
  struct entry {
    request what;
    std::uint64_t id = 0; // 0: free
    instant since{};
    bool notified = false;
    instant answer_by{};
    error_code notified_why = error_code::ok;
  };

  template <class F>
  std::vector<verdict> clear(instant now, F&& judge);

  std::vector<entry> entries_;
  std::vector<std::uint32_t> free_;
  std::size_t running_ = 0;
  std::uint64_t begun_ = 0;
  std::uint64_t said_ = 0; // of those
  bool exclusive_ = false;
};

} // namespace ropewalk
