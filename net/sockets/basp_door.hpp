#pragma once

#include "net/tcp/endpoint.hpp"

#include <caf/io/middleman_actor.hpp>

namespace ropewalk {

/// CAF's own middleman actor, with basp_scribe under every connection between nodes and a connect that gives up after
/// three seconds. Takes the same messages: (publish_atom, ...), (connect_atom, host, port), ...
caf::io::middleman_actor spawn_basp_door(caf::actor_system& system);

/// Makes `who` reachable for other nodes at `where`; blocks until it is. The port that was taken, or an error.
caf::expected<std::uint16_t> publish_at(const caf::io::middleman_actor& door, const caf::actor& who,
                                        const endpoint& where);

} // namespace ropewalk
