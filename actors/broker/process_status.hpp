#pragma once

#include "actors/stats/process_numbers.hpp"

#include <cstddef>

namespace ropewalk {

/// What the system says of this process. Takes some 10 us, and more with the descriptors that it
/// has: `connections` of them are known to be there, and from a thousand on they are not counted.
process_numbers numbers_of_this_process(std::size_t connections);

} // namespace ropewalk
