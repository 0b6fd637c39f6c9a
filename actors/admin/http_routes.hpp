#pragma once

#include "actors/admin/operator_action.hpp"
#include "net/http/http_request.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ropewalk {

/// What is asked for by HTTP.
enum class http_route : std::uint8_t {
  nothing,  ///< no such path
  health,   ///< /healthz: the process lives
  ready,    ///< /readyz: it takes work
  status,   ///< /status: the numbers as JSON
  metrics,  ///< /metrics: the numbers as Prometheus' text
  page,     ///< /: the page
  openapi,  ///< /openapi.json: all of this, described
  events,   ///< /events: what the page shows, every second
  service,  ///< /v1/services/NAME: a message
  action,   ///< /v1/drain/NODE and the like: something is done to the broker's work
  messages, ///< /v1/messages: what became of them (actors/admin/message_pages.hpp)
  cancel,   ///< /v1/cancel/ID: a message is taken back
};

/// Whose port it is: a worker has /healthz, /readyz, /status and /metrics, and nothing else.
enum class http_side : std::uint8_t { broker, worker };

struct http_place {
  http_route route = http_route::nothing;
  std::string service; ///< its name, decoded
  operator_action action;
  std::string message;     ///< of cancel: its id, as it was asked
  std::string_view target; ///< of messages: from the path on, with what is asked
  std::string_view origin; ///< host and port, where the target was a whole URL
};

/// What stands there with its escapes (%20) undone; nothing if one is none.
std::optional<std::string> decode_percent(std::string_view text);

/// The other way round: as a part of a path or of a query.
std::string encode_percent(std::string_view text);

/// Where a target leads; what stands behind a '?' counts for messages only.
http_place place_of(std::string_view target, http_side of = http_side::broker);

/// What there is, for who asks for something else.
std::string_view paths_of(http_side of);

/// The methods that a route has, as Allow says them.
std::string_view methods_of(http_route route);
bool allows(http_route route, std::string_view method);

/// True if something is done there, and not only shown or asked.
bool does_something(http_route route);

} // namespace ropewalk
