// Text lines: what a handler replies must come back as one line, from which the reply can be read
// again; and a line is taken apart into a service and a payload that are its parts.
#include "net/protocol/text.hpp"

#include <cstdint>
#include <cstdlib>
#include <string>

using namespace ropewalk;

namespace {

std::string unescaped(std::string_view line) {
  std::string result;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] != '\\' || i + 1 == line.size()) {
      result += line[i];
      continue;
    }
    const char c = line[++i];
    result += c == 'n' ? '\n' : c == 'r' ? '\r' : c;
  }
  return result;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes{reinterpret_cast<const char*>(data), size};
  const auto request = read_text_request(bytes);
  if (request.service.size() + request.payload.size() > size) std::abort();
  if (request.service.find(' ') != std::string_view::npos) std::abort();
  std::vector<char> out;
  append_text_answer(out, error_code::ok, bytes);
  const std::string line{out.begin(), out.end()};
  if (line.find('\n') != line.size() - 1) std::abort(); // one line
  const auto payload = line.substr(2, line.size() - 3);
  if (unescaped(payload.empty() ? payload : payload.substr(1)) != bytes) std::abort();
  return 0;
}
