#pragma once

#include "actors/broker/sessions/answer_writer.hpp"
#include "actors/stats/broker_report.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace ropewalk {

/// Who waits for a STATUS answer. All who ask in a turn are answered with the same numbers; who
/// asks while these are being collected wants newer ones, and waits for the next round.
class status_queue {
public:
  /// What one client may ask for before it has its answers.
  static constexpr std::uint32_t max_due = 64;

  /// False: it waits for so many answers already.
  [[nodiscard]] bool ask(session& who, std::uint64_t id);

  [[nodiscard]] bool has_waiting() const { return !waiting_.empty(); }
  [[nodiscard]] bool in_round() const { return !asked_.empty(); }

  /// Numbers are being collected for all who wait.
  void begin_round() { asked_ = std::exchange(waiting_, {}); }

  /// Here they are; everybody gets what he may see of them.
  void end_round(const broker_report& all, session_table& sessions, answer_writer& answers);

private:
  struct asker {
    connection_id who;
    std::uint64_t id;
  };

  std::vector<asker> asked_;
  std::vector<asker> waiting_;
};

} // namespace ropewalk
