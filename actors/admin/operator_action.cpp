#include "actors/admin/operator_action.hpp"

#include "actors/stats/broker_report.hpp"
#include "net/protocol/limits.hpp"
#include "net/protocol/readable.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ropewalk {

namespace {

failure nobody(const std::string& what, const std::string& advice) {
  return {failure_kind::bad_input, what, advice};
}

result<operator_action> with_node(const operator_action& what, const broker_report& in) {
  const auto nodes = in.labelled_nodes();
  const auto found = std::find_if(nodes.begin(), nodes.end(),
                                  [&](const node_report& n) { return n.label == what.target; });
  if (found != nodes.end()) return operator_action{what.verb, found->gateway};
  const bool several = std::any_of(nodes.begin(), nodes.end(),
                                   [&](const node_report& n) { return n.name == what.target; });
  if (several)
    return nobody("several nodes are named " + what.target,
                  "say which, by its label (NAME@HOST:PID, as the status has it)");
  return nobody("there is no node " + what.target, "the status lists them (ropewalk status)");
}

} // namespace

result<operator_action> resolved(const operator_action& what, const broker_report& in) {
  if (what.verb == operator_verb::drain || what.verb == operator_verb::undrain)
    return with_node(what, in);
  const bool known =
      std::any_of(in.services.begin(), in.services.end(),
                  [&](const service_report& s) { return s.state.name == what.target; });
  if (known) return what;
  return nobody("no worker has offered service " + what.target,
                "the status lists those that there are (ropewalk status)");
}

std::string sentence_of(const operator_action& what) {
  const auto name = one_line(what.target, limits::max_service_bytes);
  switch (what.verb) {
  case operator_verb::drain:
    return "node " + name + " is drained: it finishes what it has and gets nothing new";
  case operator_verb::undrain:
    return "node " + name + " gets work again";
  case operator_verb::pause:
    return "service " + name + " is paused: its requests wait, what runs is finished";
  case operator_verb::resume:
    break;
  }
  return "service " + name + " goes on";
}

std::string action_json(const std::string& done) {
  const nlohmann::json result{{"done", done}};
  return result.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

} // namespace ropewalk
