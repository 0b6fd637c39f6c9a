#include "net/http/http_response.hpp"

#include <string>

namespace ropewalk {

std::string_view http_reason(int status) {
  switch (status) {
  case 100:
    return "Continue";
  case 200:
    return "OK";
  case 204:
    return "No Content";
  case 400:
    return "Bad Request";
  case 401:
    return "Unauthorized";
  case 403:
    return "Forbidden";
  case 404:
    return "Not Found";
  case 405:
    return "Method Not Allowed";
  case 408:
    return "Request Timeout";
  case 409:
    return "Conflict";
  case 413:
    return "Content Too Large";
  case 417:
    return "Expectation Failed";
  case 421:
    return "Misdirected Request";
  case 422:
    return "Unprocessable Content";
  case 429:
    return "Too Many Requests";
  case 431:
    return "Request Header Fields Too Large";
  case 500:
    return "Internal Server Error";
  case 501:
    return "Not Implemented";
  case 502:
    return "Bad Gateway";
  case 503:
    return "Service Unavailable";
  case 504:
    return "Gateway Timeout";
  case 505:
    return "HTTP Version Not Supported";
  default:
    return "Unknown";
  }
}

void append_http_head(std::vector<char>& out, const http_response_head& head) {
  const auto put = [&](std::string_view text) { out.insert(out.end(), text.begin(), text.end()); };
  put("HTTP/1.1 ");
  put(std::to_string(head.status));
  put(" ");
  put(http_reason(head.status));
  put("\r\n");
  if (!head.content_type.empty()) {
    put("Content-Type: ");
    put(head.content_type);
    put("\r\n");
  }
  if (head.status >= 200 && head.status != 204 && !head.until_close) {
    put("Content-Length: ");
    put(std::to_string(head.body_bytes));
    put("\r\n");
  }
  if (head.status >= 200) put("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
  if (!head.keep_alive)
    put("Connection: close\r\n");
  else if (head.http_1_0)
    put("Connection: keep-alive\r\n");
  put(head.more_fields);
  put("\r\n");
}

} // namespace ropewalk
