#pragma once

#include "actors/broker/sessions/answer_writer.hpp"
#include "actors/stats/broker_report.hpp"
#include "actors/stats/worker_report.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace ropewalk {

/// Who waits for a STATUS answer, or for what needs one: an action names a node or a service, and is
/// decided by the numbers that follow. All who ask in a turn are answered with the same numbers; who
/// asks while these are being collected wants newer ones, and waits for the next round.
class status_queue {
public:
  /// What one client may ask for before it has its answers.
  static constexpr std::uint32_t max_due = 64;

  /// False: it waits for so many answers already.
  [[nodiscard]] bool ask(session& who, std::uint64_t id);

  [[nodiscard]] bool has_waiting() const { return !waiting_.empty(); }
  [[nodiscard]] bool in_round() const { return in_round_; }

  /// Numbers are being collected for all who wait.
  void begin_round() {
    asked_ = std::exchange(waiting_, {});
    in_round_ = true;
  }

  /// Here they are; everybody gets what he may see of them.
  void end_round(const broker_report& all, session_table& sessions, answer_writer& answers);

  /// The same of a worker's port.
  void end_round(const worker_report& all, session_table& sessions, answer_writer& answers);

  /// What is to be done, resolved, in this order; whoever asked for it has been answered.
  [[nodiscard]] std::vector<operator_action> take_actions() { return std::exchange(actions_, {}); }

private:
  class texts;
  struct asker {
    connection_id who;
    std::uint64_t id;
  };

  void answer_all(texts& made, session_table& sessions, answer_writer& answers);
  void show(session& to, std::uint64_t id, texts& made, answer_writer& answers);
  void decide(session& to, std::uint64_t id, const http_exchange::asked& what,
              const broker_report& all, answer_writer& answers);

  std::vector<operator_action> actions_;
  std::vector<asker> asked_;
  std::vector<asker> waiting_;
  bool in_round_ = false;
};

} // namespace ropewalk
