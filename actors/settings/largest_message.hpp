#pragma once

#include "actors/settings/setting.hpp"

#include <string>
#include <vector>

/// A limit that the largest message (--max-message-bytes) is over would have it answered BUSY, or
/// its client cut off, for ever. Of a broker with shards each has its part.
namespace ropewalk {

/// The least that a setting of bytes may be so that the largest message fits; 0: it need not.
std::uint64_t room_for_largest(const broker_tuning& process, const setting& of);

/// A sentence for each limit that is below that, with what to do.
std::vector<std::string> limits_below_largest(const broker_tuning& process);

} // namespace ropewalk
