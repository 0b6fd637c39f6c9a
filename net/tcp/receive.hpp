#pragma once

#include "net/protocol/decoder.hpp"

namespace ropewalk {

enum class received : std::uint8_t { bytes, nothing, end, failure };

/// Reads once from a socket into a decoder: the rest of a large payload straight to its place, what
/// lies behind it into `buffer` (limits::read_bytes), which must live until the decoder has no more
/// events. `nothing`: the socket had none; `failure`: errno says why.
received receive_into(decoder& to, int fd, char* buffer);

} // namespace ropewalk
