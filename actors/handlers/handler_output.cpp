#include "actors/handlers/handler_output.hpp"

#include "net/protocol/limits.hpp"

namespace ropewalk {

void handler_output::keep_end(std::string_view bytes) {
  constexpr auto kept = limits::max_stderr_bytes;
  if (bytes.size() >= kept) {
    tail_ = bytes.substr(bytes.size() - kept);
    return;
  }
  tail_.append(bytes);
  if (tail_.size() > 2 * kept) tail_.erase(0, tail_.size() - kept);
}

} // namespace ropewalk
