#include "actors/broker/sessions/status_queue.hpp"

#include "actors/admin/http_problem.hpp"
#include "actors/admin/metrics.hpp"
#include "actors/broker/sessions/visible_report.hpp"

#include <map>
#include <spdlog/spdlog.h>

namespace ropewalk {

namespace {

constexpr std::string_view json_type = "application/json";

using texts_by_rights = std::map<const access*, shared_bytes>;

// The text for these rights, made once a round.
template <class Make>
const shared_bytes& text_for(texts_by_rights& texts, const access* rights, Make&& make) {
  auto [text, fresh] = texts.try_emplace(rights);
  if (fresh) text->second = shared_bytes::copy_of(make());
  return text->second;
}

std::string json_for(const access* rights, const broker_report& all) {
  return rights ? visible_to(*rights, all).json() : all.json();
}

} // namespace

// Only who may see everything gets as far as /metrics.
struct status_queue::texts {
  texts_by_rights json;
  shared_bytes metrics;
};

void status_queue::show(session& to, std::uint64_t id, const broker_report& all, texts& made,
                        answer_writer& answers) {
  const auto* asked = to.http->find(id);
  if (!asked) return;
  if (asked->shows == http_exchange::page::action) return decide(to, id, *asked, all, answers);
  if (asked->shows == http_exchange::page::metrics) {
    if (made.metrics.empty()) made.metrics = shared_bytes::copy_of(metrics_text(all));
    return answers.page(to, id, {200, metrics_type, {}, made.metrics});
  }
  const auto* rights = asked->who && !asked->who->may_see ? asked->who.get() : nullptr;
  const auto& text = text_for(made.json, rights, [&] { return json_for(rights, all); });
  answers.page(to, id, {200, json_type, {}, text});
}

// Who did it is in the log before it is done.
void status_queue::decide(session& to, std::uint64_t id, const http_exchange::asked& what,
                          const broker_report& all, answer_writer& answers) {
  auto action = resolved(what.action, all);
  if (!action) {
    const auto problem = http_problem(404, {}, action.why().text());
    return answers.page(to, id, {404, http_problem_type, {}, shared_bytes::borrow(problem)});
  }
  const auto done = sentence_of(what.action);
  spdlog::warn("{} (by {}, over HTTP)", done,
               what.who ? what.who->name : "a client at " + to.connection->address());
  actions_.push_back(*std::move(action));
  const auto json = action_json(done);
  answers.page(to, id, {200, json_type, {}, shared_bytes::borrow(json)});
}

bool status_queue::ask(session& who, std::uint64_t id) {
  if (who.statuses_due == max_due) return false;
  ++who.statuses_due;
  waiting_.push_back({who.id, id});
  return true;
}

void status_queue::end_round(const broker_report& all, session_table& sessions,
                             answer_writer& answers) {
  in_round_ = false;
  texts made;
  for (const auto& [who, id] : std::exchange(asked_, {})) {
    auto* to = sessions.find(who);
    if (!to) continue;
    --to->statuses_due;
    if (to->http) {
      show(*to, id, all, made, answers);
      continue;
    }
    const auto* rights = to->who && !to->who->may_see ? to->who : nullptr;
    const auto& text = text_for(made.json, rights, [&] { return json_for(rights, all); });
    answers.frame(*to, frame_kind::status, id, {}, text);
  }
}

} // namespace ropewalk
