#include "actors/broker/sessions/status_queue.hpp"

#include "actors/admin/http_problem.hpp"
#include "actors/admin/metrics.hpp"
#include "actors/broker/sessions/visible_report.hpp"
#include "net/http/http_response.hpp"

#include <map>
#include <spdlog/spdlog.h>
#include <variant>

namespace ropewalk {

namespace {

std::string json_for(const access* rights, const broker_report& all) {
  return rights ? visible_to(*rights, all).json() : all.json();
}

} // namespace

// What the numbers of a round say, made when it is first wanted, once for each who has other rights.
class status_queue::texts {
public:
  explicit texts(const broker_report& all) : of_(&all) {}
  explicit texts(const worker_report& all) : of_(&all) {}

  [[nodiscard]] const broker_report& broker() const { return *std::get<0>(of_); }
  [[nodiscard]] const worker_report& worker() const { return *std::get<1>(of_); }

  const shared_bytes& json(const access* rights) {
    auto [text, fresh] = json_.try_emplace(rights);
    if (fresh)
      text->second =
          shared_bytes::copy_of(is_brokers() ? json_for(rights, broker()) : worker().json());
    return text->second;
  }

  // Only who may see everything gets as far as /metrics.
  const shared_bytes& metrics() {
    if (metrics_.empty())
      metrics_ =
          shared_bytes::copy_of(is_brokers() ? metrics_text(broker()) : metrics_text(worker()));
    return metrics_;
  }

private:
  [[nodiscard]] bool is_brokers() const { return of_.index() == 0; }

  const std::variant<const broker_report*, const worker_report*> of_;
  std::map<const access*, shared_bytes> json_;
  shared_bytes metrics_;
};

void status_queue::show(session& to, std::uint64_t id, texts& made, answer_writer& answers) {
  const auto* asked = to.http->find(id);
  if (!asked) return;
  switch (asked->shows) {
  case http_exchange::page::action:
    return decide(to, id, *asked, made.broker(), answers);
  case http_exchange::page::metrics:
    return answers.page(to, id, {200, metrics_type, {}, made.metrics()});
  case http_exchange::page::ready:
  case http_exchange::page::ready_or_not: {
    const auto& why = made.worker().node.not_ready;
    std::string text = why.empty() ? "ready" : "not ready";
    if (!why.empty() && asked->shows == http_exchange::page::ready) text += ": " + why;
    text += '\n';
    return answers.page(to, id,
                        {why.empty() ? 200 : 503, text_type, {}, shared_bytes::borrow(text)});
  }
  default:
    break;
  }
  const auto* rights = asked->who && !asked->who->may_see ? asked->who.get() : nullptr;
  answers.page(to, id, {200, json_type, {}, made.json(rights)});
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
  texts made{all};
  answer_all(made, sessions, answers);
}

void status_queue::end_round(const worker_report& all, session_table& sessions,
                             answer_writer& answers) {
  texts made{all};
  answer_all(made, sessions, answers);
}

void status_queue::answer_all(texts& made, session_table& sessions, answer_writer& answers) {
  in_round_ = false;
  for (const auto& [who, id] : std::exchange(asked_, {})) {
    auto* to = sessions.find(who);
    if (!to) continue;
    --to->statuses_due;
    if (to->http) {
      show(*to, id, made, answers);
      continue;
    }
    const auto* rights = to->who && !to->who->may_see ? to->who : nullptr;
    answers.frame(*to, frame_kind::status, id, {}, made.json(rights));
  }
}

} // namespace ropewalk
