#pragma once

#include "actors/broker/sessions/answer_writer.hpp"
#include "actors/log/wall_clock.hpp"
#include "actors/stats/message_report.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace ropewalk {

/// Who wants to know what became of messages, or one of them taken back, and waits for the answer of
/// all shards. Everybody is shown what he may see: who may see all, everything; others what they
/// asked themselves, without the nodes.
class message_questions {
public:
  struct question {
    connection_id who;
    std::uint64_t id = 0;
    message_query query;
    bool sees_all = true;
  };

  /// Of one connection, so that nobody has the others' turns: each may hold the loop up for
  /// milliseconds, and be some megabytes long.
  static constexpr std::uint32_t max_due = 8;

  /// `rights`: of who asks; null: nobody asks who it is. False: it waits for so many answers already
  /// (max_due).
  [[nodiscard]] bool ask(session& who, std::uint64_t id, message_query query, const access* rights);

  [[nodiscard]] bool has_waiting() const { return !waiting_.empty(); }

  /// The oldest, if there is one. An answer may look at all that waits: one a turn is enough.
  [[nodiscard]] std::optional<question> take_next();

  /// What this shard knows, as it was before it took back what the query has taken back. That is in
  /// the log, with who did it.
  [[nodiscard]] static std::vector<message_report> known(dispatcher& work,
                                                         const message_query& query, instant now);

  /// What the shards know. `now` and `wall` are the same moment by both clocks.
  static void answer(const question& what, std::vector<message_report>&& known,
                     session_table& sessions, answer_writer& answers, instant now, wall_time wall);

private:
  static void answer_cancel(session& to, std::uint64_t id, const message_query& query,
                            const std::vector<message_report>& known, answer_writer& answers);

  std::deque<question> waiting_;
};

} // namespace ropewalk
