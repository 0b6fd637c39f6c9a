#pragma once

#include "actors/log/wall_clock.hpp"
#include "actors/stats/message_report.hpp"
#include "net/protocol/result.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace ropewalk {

inline constexpr std::string_view messages_path = "/v1/messages";

/// Reads what is asked about messages: /v1/messages/ID or /v1/messages?failed&service=NAME&limit=20,
/// as HTTP and STATUS have it. The failure says what is wrong.
result<message_query> read_message_query(std::string_view target);

/// As JSON: {"now": ..., "messages": [...]}, which net/PROTOCOL.md describes. `now` and `wall` are
/// the same moment by both clocks.
std::string messages_json(const std::vector<message_report>& all, instant now, wall_time wall);

} // namespace ropewalk
