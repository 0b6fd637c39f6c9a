#include "actors/handlers/handler.hpp"

#include "actors/handlers/builtin.hpp"
#include "actors/handlers/command.hpp"

namespace ropewalk {

std::unique_ptr<handler> make_handler(const std::string& spec, std::size_t max_reply_bytes) {
  const auto colon = spec.find(':');
  const auto kind = spec.substr(0, colon);
  const auto rest = colon == std::string::npos ? std::string{} : spec.substr(colon + 1);
  if (kind == "builtin") return make_builtin(rest);
  if (kind == "cmd") return make_command(rest, max_reply_bytes);
  throw bad_handler{"unknown handler '" + spec + "': write builtin:NAME (" + builtin_names() +
                    ") or cmd:PROGRAM ARG..."};
}

} // namespace ropewalk
