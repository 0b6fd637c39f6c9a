#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>

namespace ropewalk {

/// CAF's own middleman actor, with basp_scribe under every connection between nodes and a connect
/// that gives up after three seconds. Takes the same messages: (publish_atom, ...), (connect_atom,
/// host, port), ...
caf::actor spawn_basp_door(caf::actor_system& system);

} // namespace ropewalk
