#include "actors/handlers/registry.hpp"

#include "actors/handlers/builtin.hpp"
#include "actors/handlers/command.hpp"

#include <algorithm>
#include <array>

namespace ropewalk {

namespace {

struct handler_kind {
  std::string_view name;
  result<handler_maker> (*parse)(const std::string& rest);
  std::string (*usage)(); // for people
  bool starts_programs;
};

/// Every kind of handler. To add one: a file beside this one, and a line here.
const std::array kinds{
    handler_kind{"builtin", parse_builtin, builtin_usage, false},
    handler_kind{"cmd", parse_command, command_usage, true},
};

std::string usage_of_all() {
  std::string text;
  for (const auto& kind : kinds) text += (text.empty() ? "" : " or ") + kind.usage();
  return text;
}

} // namespace

result<handler_spec> parse_handler(const std::string& text) {
  const auto colon = text.find(':');
  const auto name = text.substr(0, colon);
  const auto* const kind = std::find_if(kinds.begin(), kinds.end(),
                                        [&](const handler_kind& k) { return k.name == name; });
  if (kind == kinds.end())
    return failure{
        failure_kind::bad_input, "unknown handler '" + text + "': write " + usage_of_all(), {}};
  auto maker = kind->parse(colon == std::string::npos ? std::string{} : text.substr(colon + 1));
  if (!maker) return std::move(maker).why();
  return handler_spec{text, kind->starts_programs, *std::move(maker)};
}

std::unique_ptr<handler> make_handler(const handler_spec& spec, const handler_options& options) {
  return spec.maker(options);
}

} // namespace ropewalk
