#include "net/protocol/text.hpp"

namespace ropewalk {

text_request read_text_request(std::string_view line) {
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  const auto blank = line.find(' ');
  if (blank == std::string_view::npos) return {line, {}};
  return {line.substr(0, blank), line.substr(blank + 1)};
}

void append_text_answer(std::vector<char>& out, error_code code, std::string_view payload) {
  auto put = [&out](std::string_view text) { out.insert(out.end(), text.begin(), text.end()); };
  if (code == error_code::ok) {
    put("OK");
  } else {
    put("ERR ");
    put(name_of(code));
  }
  if (!payload.empty()) out.push_back(' ');
  for (const char c : payload) {
    switch (c) {
    case '\n':
      put("\\n");
      break;
    case '\r':
      put("\\r");
      break;
    case '\\':
      put("\\\\");
      break;
    default:
      out.push_back(c);
    }
  }
  out.push_back('\n');
}

} // namespace ropewalk
