#pragma once

#include "actors/handlers/handler.hpp"
#include "actors/supervise/spawner_wire.hpp"

#include <memory>
#include <optional>
#include <string>

namespace ropewalk {

struct actor_service; // actors/node/own_actor_pool.hpp

/// What stands after NAME= in --service, checked: a handler can be made of it.
struct handler_spec {
  std::string text;
  bool starts_programs = false;    ///< its node wants a spawner, before it has threads
  handler_maker maker;             ///< for each slot one; none: a program that stays up
  std::optional<program> stays_up; ///< what runs the messages of several slots (process_pool)
  std::string trouble = {};        ///< why its program would not start as it is now; empty: it may
  /// Somebody's code in the node's own process: a run that hangs there cannot be ended, and its slot
  /// is written off (pool.hpp).
  bool runs_in_node = false;
  bool is_server = false; ///< `stays_up` only passes on to one: its processes are connections
  std::shared_ptr<const actor_service> actors = {}; ///< actors of a worker of one's own run it

  /// Something else than slots with a thread each runs its messages.
  [[nodiscard]] bool is_attended_to() const { return stays_up || actors; }

  [[nodiscard]] bool operator==(const handler_spec& other) const { return text == other.text; }
};

/// Checks a text of the form KIND:REST, such as `builtin:echo` or `cmd:sha256sum`. Starts nothing,
/// and changes nothing in this process: whoever only passes the text on may check it, too. The
/// failure says what is wrong with it and what would do.
result<handler_spec> parse_handler(const std::string& text);

/// A handler of its own for one slot, where slots have some.
std::unique_ptr<handler> make_handler(const handler_spec& spec, const handler_options& options);

} // namespace ropewalk
