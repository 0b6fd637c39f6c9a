#pragma once

#include "net/protocol/result.hpp"

#include <cstdint>
#include <string>

namespace ropewalk {

struct broker_report;

/// What whoever runs a broker does to its work. Drains and pauses last until they are taken back, or
/// until the node joins anew, or the broker ends.
enum class operator_verb : std::uint8_t {
  drain,   ///< a node gets no new work; what it has it finishes
  undrain, ///< it works again
  pause,   ///< a service's requests wait; what runs is finished
  resume,  ///< they go on
};

struct operator_action {
  operator_verb verb{};
  std::string target; ///< a node's label or a service's name, as it was asked
};

/// The same with what the target is known by inside the broker: a node's gateway
/// (node_report::gateway), a service's name. The failure says that there is none, and what there is.
result<operator_action> resolved(const operator_action& what, const broker_report& in);

/// What was done, for people: "node left is drained: ..."; on one line, whatever the target's name.
std::string sentence_of(const operator_action& what);

/// The answer to who asked for it, as JSON: {"done": "node left is drained: ..."}.
std::string action_json(const std::string& done);

} // namespace ropewalk
