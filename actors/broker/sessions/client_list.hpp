#pragma once

#include "actors/broker/sessions/session_table.hpp"
#include "actors/stats/client_report.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace ropewalk {

/// Its name by the access file or its certificate; empty: nobody asks, or not yet.
std::string who_is(const session& s);

/// The clients that hold most, as `holds_more` says, at most max_listed_clients of them. Looks at
/// every session, which takes some 50 ns each, and longer at those that it lists. `shard`: whose
/// they are, a part of their ids.
std::vector<client_report> list_clients(const session_table& all, const dispatcher& work,
                                        std::uint16_t shard, instant now);

} // namespace ropewalk
