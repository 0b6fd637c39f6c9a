#pragma once

#include "actors/otlp/otlp_url.hpp"
#include "actors/time/instant.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace ropewalk {

/// What a server answered to a POST.
struct http_posted {
  int status = 0;                          ///< of HTTP; 0: there is no answer
  std::string why;                         ///< there is none, for people
  std::optional<milliseconds> retry_after; ///< where it was said in seconds
  std::string body;                        ///< its first 64 KiB
};

/// The answer to a POST of JSON, over a connection of its own. Blocks for `timeout` at most.
http_posted post_json(const otlp_url& where, std::string_view body, milliseconds timeout);

/// Reads an answer, as far as it has come: status, Retry-After and body.
http_posted read_http_answer(std::string_view text);

} // namespace ropewalk
