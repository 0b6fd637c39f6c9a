#pragma once

namespace ropewalk::sim {

/// How long messages spend in the system (waiting and running) under the dispatcher, an ideal
/// central queue, round robin, random choice and plain power of two choices, all with the same
/// arrivals and service times. Prints JSON.
int print_quality();

} // namespace ropewalk::sim
