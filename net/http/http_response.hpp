#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace ropewalk {

/// What a body is, as Content-Type says it.
inline constexpr std::string_view json_type = "application/json";
inline constexpr std::string_view text_type = "text/plain; charset=utf-8";

/// The head of an answer.
struct http_response_head {
  int status = 200;
  std::string_view content_type{}; ///< empty: there is no body
  std::string_view more_fields{};  ///< whole lines, each with its CRLF
  std::size_t body_bytes = 0;
  bool keep_alive = true;
  bool http_1_0 = false;    ///< of the request
  bool until_close = false; ///< the body is what comes until the connection ends
};

/// What stands behind the status, such as "Not Found"; "Unknown" for one that is never sent here.
std::string_view http_reason(int status);

/// Appends the head; the body of `body_bytes`, which is left out in an answer to HEAD, is the
/// caller's to put behind it. Nothing in here may be stored, or taken for another type than it has.
void append_http_head(std::vector<char>& out, const http_response_head& head);

} // namespace ropewalk
