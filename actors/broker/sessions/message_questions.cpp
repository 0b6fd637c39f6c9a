#include "actors/broker/sessions/message_questions.hpp"

#include "actors/admin/http_problem.hpp"
#include "actors/admin/message_pages.hpp"
#include "actors/admin/operator_action.hpp"
#include "actors/dispatch/dispatcher.hpp"
#include "net/http/http_response.hpp"
#include "net/protocol/limits.hpp"
#include "net/protocol/readable.hpp"

#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

// Whoever may not see the broker's nodes may not see them here. (What an error said, it was told.)
void hide_nodes(std::vector<message_report>& all) {
  for (auto& message : all) {
    if (!message.ended) message.waits.clear();
    message.cancelled_by.reset();
    for (auto& attempt : message.attempts) {
      attempt.node.reset();
      attempt.why.reset();
      attempt.slot = 0;
    }
  }
}

// Of one that is under way.
std::string taken_back(const message_report& one) {
  auto result = "message " + one.id.text() + " of service " +
                one_line(one.service, limits::max_service_bytes) +
                " is taken back: its client is answered CANCELLED";
  const bool with_node = !one.before && !one.attempts.empty() && one.attempts.back().node;
  if (with_node)
    result += ", and node " + one_line(*one.attempts.back().node, limits::max_service_bytes) +
              ", which has it, is to stop it";
  return result;
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

std::vector<message_report> message_questions::known(dispatcher& work, const message_query& query,
                                                     instant now) {
  auto found = work.messages(query, now);
  if (query.cancel_by.empty() || found.empty() || found.front().ended) return found;
  const auto& one = found.front();
  spdlog::warn("{} (by {}, over HTTP)", taken_back(one), query.cancel_by);
  work.cancel({one.id.connection, one.id.generation}, one.id.request, now, query.cancel_by);
  return found;
}

// What was under way is first in what is known.
void message_questions::answer_cancel(session& to, std::uint64_t id, const message_query& query,
                                      const std::vector<message_report>& known,
                                      answer_writer& answers) {
  if (!known.empty() && !known.front().ended) {
    const auto json = action_json(taken_back(known.front()));
    return answers.page(to, id, {200, json_type, {}, shared_bytes::borrow(json)});
  }
  const int status = known.empty() ? 404 : 409;
  const auto which = "message " + query.id->text();
  const auto why =
      known.empty()
          ? "no " + which +
                " is under way: it never came, or it has been answered; `ropewalk "
                "explain --open` shows those that are"
          : which + " has been answered already: " + std::string{name_of(known.front().code)};
  const auto problem = http_problem(status, {}, why);
  answers.page(to, id, {status, http_problem_type, {}, shared_bytes::borrow(problem)});
}

void message_questions::answer(const question& what, std::vector<message_report>&& known,
                               session_table& sessions, answer_writer& answers, instant now,
                               wall_time wall) {
  auto* to = sessions.find(what.who);
  if (!to) return;
  --to->statuses_due;
  sort_and_cut(known, what.query);
  if (!what.query.cancel_by.empty()) return answer_cancel(*to, what.id, what.query, known, answers);
  if (!what.sees_all) hide_nodes(known);
  const auto text = shared_bytes::copy_of(messages_json(known, now, wall));
  if (to->http)
    answers.page(*to, what.id, {200, json_type, {}, text});
  else
    answers.frame(*to, frame_kind::status, what.id, {}, text);
}

} // namespace ropewalk
