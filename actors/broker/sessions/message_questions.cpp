#include "actors/broker/sessions/message_questions.hpp"

#include "actors/admin/message_pages.hpp"
#include "actors/broker/sessions/status_queue.hpp"

namespace ropewalk {

namespace {

// Whoever may not see the broker's nodes may not see them here. (What an error said, it was told.)
void hide_nodes(std::vector<message_report>& all) {
  for (auto& message : all) {
    if (!message.ended) message.waits.clear();
    for (auto& attempt : message.attempts) {
      attempt.node.reset();
      attempt.why.reset();
      attempt.slot = 0;
    }
  }
}

} // namespace

bool message_questions::ask(session& who, std::uint64_t id, message_query query,
                            const access* rights) {
  if (who.statuses_due >= max_due) return false;
  ++who.statuses_due;
  const bool sees_all = !rights || rights->may_see;
  if (!sees_all) query.who = rights->name;
  waiting_.push_back({who.id, id, std::move(query), sees_all});
  return true;
}

std::optional<message_questions::question> message_questions::take_next() {
  if (waiting_.empty()) return std::nullopt;
  std::optional result{std::move(waiting_.front())};
  waiting_.pop_front();
  return result;
}

void message_questions::answer(const question& what, std::vector<message_report>&& known,
                               session_table& sessions, answer_writer& answers, instant now,
                               wall_time wall) {
  auto* to = sessions.find(what.who);
  if (!to) return;
  --to->statuses_due;
  sort_and_cut(known, what.query);
  if (!what.sees_all) hide_nodes(known);
  const auto text = shared_bytes::copy_of(messages_json(known, now, wall));
  if (to->http)
    answers.page(*to, what.id, {200, "application/json", {}, text});
  else
    answers.frame(*to, frame_kind::status, what.id, {}, text);
}

} // namespace ropewalk
