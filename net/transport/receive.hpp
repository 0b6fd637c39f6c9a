#pragma once

#include "net/protocol/decoder.hpp"
#include "net/protocol/limits.hpp"
#include "net/transport/stream.hpp"

namespace ropewalk {

/// Reads once from a connection into a decoder: the rest of a large payload straight to its place,
/// what lies behind it, up to `max` bytes, into `buffer` (limits::read_bytes), which must live
/// until the decoder has no more events. The bytes are those of both.
stream::result receive_into(decoder& to, stream& from, char* buffer,
                            std::size_t max = limits::read_bytes);

} // namespace ropewalk
