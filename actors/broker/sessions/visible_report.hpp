#pragma once

#include "actors/broker/sessions/access_list.hpp"
#include "actors/stats/broker_report.hpp"

namespace ropewalk {

/// What of the broker's numbers a client may see that may ask for some services only: the nodes
/// that offer one of these, without their names, machines and processes, and whether the broker
/// drains. How much others ask for is none of its business.
broker_report visible_to(const access& who, const broker_report& all);

} // namespace ropewalk
