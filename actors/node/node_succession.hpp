#pragma once

#include "actors/messages.hpp"
#include "actors/node/settings.hpp"
#include "net/protocol/result.hpp"

#include <caf/all.hpp>
#include <functional>
#include <vector>

namespace ropewalk {

/// What a succession of nodes is given.
struct succession_settings {
  node_settings first;

  /// Starts a node that notifies `owner` (node_dependencies::owner).
  std::function<caf::actor(caf::event_based_actor* owner, const node_settings& settings)> start;

  /// Reads anew what services are wanted; a failure: nothing of it is usable. Null: that is not to
  /// be asked.
  std::function<result<std::vector<service_settings>>()> read;
};

/// The top of a node process: has a node, and passes on to it what the process is told. At a
/// (reload) it reads what services are wanted. If these are the same, so is the node, which replaces
/// its processes. If not, another node is started beside it, which joins the broker once all of its
/// services are ready; then the old one drains, in its own time, and is gone: a service is always
/// offered by one of them. If something of the new one does not start, all of it is given up, and
/// the old one goes on.
struct succession_state {
  succession_settings with;
  node_settings settings; ///< of `current`
  caf::actor current;
  caf::actor next; ///< null: none is on its way
  node_settings next_settings;
  std::vector<caf::actor> leaving; ///< drain; held, or CAF would end them
  bool reload_again = false;       ///< asked for while `next` was on its way
  bool draining = false;
  const char* name = "node_succession";
};

caf::behavior node_succession(caf::stateful_actor<succession_state>* self,
                              succession_settings settings);

/// What becomes of each service when `after` takes the place of `before`: a line each.
std::vector<std::string> service_changes(const std::vector<service_settings>& before,
                                         const std::vector<service_settings>& after);

} // namespace ropewalk
