#pragma once

#include "net/protocol/error.hpp"

#include <string_view>
#include <vector>

/// The text lines that the same port takes, for `nc` and people: `SERVICE payload` in, `OK reply`
/// or `ERR CODE sentence` out, one line each, answers in the order of the requests.
namespace ropewalk {

struct text_request {
  std::string_view service;
  std::string_view payload;
};

/// Cuts a line (without its newline) at the first blank; a carriage return at the end is not part
/// of it.
text_request read_text_request(std::string_view line);

/// Appends one answer line. In the reply newline, carriage return and backslash become \n, \r and
/// \\, so that it stays one line.
void append_text_answer(std::vector<char>& out, error_code code, std::string_view payload);

} // namespace ropewalk
