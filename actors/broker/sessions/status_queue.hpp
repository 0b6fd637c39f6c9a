#pragma once

#include "actors/broker/sessions/answer_writer.hpp"

#include <cstdint>
#include <utility>
#include <vector>

namespace ropewalk {

/// Who waits for a STATUS answer. All who ask in a turn are answered with the same numbers; who
/// asks while these are being collected wants newer ones, and waits for the next round.
class status_queue {
public:
  void ask(session& who, std::uint64_t id) {
    ++who.statuses_due;
    waiting_.push_back({who.id, id});
  }

  [[nodiscard]] bool has_waiting() const { return !waiting_.empty(); }
  [[nodiscard]] bool in_round() const { return !asked_.empty(); }

  /// Numbers are being collected for all who wait.
  void begin_round() { asked_ = std::exchange(waiting_, {}); }

  /// Here they are.
  void end_round(const shared_bytes& text, session_table& sessions, answer_writer& answers) {
    for (const auto& [who, id] : std::exchange(asked_, {})) {
      auto* to = sessions.find(who);
      if (!to) continue;
      --to->statuses_due;
      answers.frame(*to, frame_kind::status, id, {}, text);
    }
  }

private:
  struct asker {
    connection_id who;
    std::uint64_t id;
  };

  std::vector<asker> asked_;
  std::vector<asker> waiting_;
};

} // namespace ropewalk
