#include "actors/handlers/registry.hpp"

#include "actors/handlers/builtin.hpp"
#include "actors/handlers/command.hpp"
#include "actors/handlers/exec.hpp"
#include "actors/handlers/library.hpp"
#include "actors/handlers/program_line.hpp"
#include "actors/handlers/server.hpp"
#include "actors/handlers/start_trouble.hpp"

#include <algorithm>
#include <array>

namespace ropewalk {

namespace {

struct handler_kind {
  std::string_view name;
  result<handler_spec> (*parse)(const std::string& rest);
  std::string (*usage)(); // for people
};

// A handler a slot.
template <result<handler_maker> (*Parse)(const std::string&), bool StartsPrograms>
result<handler_spec> parse_maker(const std::string& rest) {
  auto maker = Parse(rest);
  if (!maker) return std::move(maker).why();
  return handler_spec{{}, StartsPrograms, *std::move(maker), {}};
}

// The same, with somebody's code in this process.
template <result<handler_maker> (*Parse)(const std::string&)>
result<handler_spec> parse_code(const std::string& rest) {
  auto spec = parse_maker<Parse, false>(rest);
  if (spec) spec->runs_in_node = true;
  return spec;
}

// A program that stays up.
template <result<program> (*Parse)(const std::string&)>
result<handler_spec> parse_process(const std::string& rest) {
  auto what = Parse(rest);
  if (!what) return std::move(what).why();
  return handler_spec{{}, true, {}, *std::move(what)};
}

// A server that runs already: one connection to it, unless more are asked for.
template <result<program> (*Parse)(const std::string&)>
result<handler_spec> parse_server(const std::string& rest) {
  auto spec = parse_process<Parse>(rest);
  if (spec) spec->is_server = true;
  return spec;
}

/// Every kind of handler. To add one: a file beside this one, and a line here.
const std::array kinds{
    handler_kind{"builtin", parse_maker<parse_builtin, false>, builtin_usage},
    handler_kind{"cmd", parse_maker<parse_command, true>, command_usage},
    handler_kind{"exec", parse_process<parse_exec>, exec_usage},
    handler_kind{"lib", parse_code<parse_library>, library_usage},
    handler_kind{"unix", parse_server<parse_unix_server>, unix_server_usage},
    handler_kind{"tcp", parse_server<parse_tcp_server>, tcp_server_usage},
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
  auto spec = kind->parse(colon == std::string::npos ? std::string{} : text.substr(colon + 1));
  if (!spec) return std::move(spec).why();
  spec->text = text;
  if (spec->starts_programs && !spec->is_server)
    if (const auto what = parse_program(kind->name.data(), text.substr(colon + 1)))
      spec->trouble = find_start_trouble(what->path);
  return spec;
}

std::unique_ptr<handler> make_handler(const handler_spec& spec, const handler_options& options) {
  return spec.maker(options);
}

} // namespace ropewalk
