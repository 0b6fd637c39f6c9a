#include "actors/broker/sessions/status_queue.hpp"

#include "actors/broker/sessions/visible_report.hpp"

#include <map>

namespace ropewalk {

bool status_queue::ask(session& who, std::uint64_t id) {
  if (who.statuses_due == max_due) return false;
  ++who.statuses_due;
  waiting_.push_back({who.id, id});
  return true;
}

void status_queue::end_round(const broker_report& all, session_table& sessions,
                             answer_writer& answers) {
  std::map<const access*, shared_bytes> texts; // null: whoever may see everything
  for (const auto& [who, id] : std::exchange(asked_, {})) {
    auto* to = sessions.find(who);
    if (!to) continue;
    --to->statuses_due;
    const auto* rights = to->who && !to->who->all_services ? to->who : nullptr;
    auto [text, fresh] = texts.try_emplace(rights);
    if (fresh)
      text->second = shared_bytes::copy_of(rights ? visible_to(*rights, all).json() : all.json());
    answers.frame(*to, frame_kind::status, id, {}, text->second);
  }
}

} // namespace ropewalk
