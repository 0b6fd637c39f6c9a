#include "actors/otlp/otlp_url.hpp"

#include <algorithm>

namespace ropewalk {

namespace {

constexpr std::string_view default_port = ":4318"; // OTLP's over HTTP
constexpr std::string_view default_path = "/v1/traces";

bool is_plain(char c) {
  return c > ' ' && c < '\x7f';
}

failure wrong(std::string what) {
  return {failure_kind::bad_input, std::move(what),
          "a collector's URL looks like http://127.0.0.1:4318"};
}

} // namespace

result<otlp_url> read_otlp_url(std::string_view text) {
  constexpr std::string_view scheme = "http://";
  const auto whole = std::string{text};
  if (text.starts_with("https://"))
    return wrong(whole + ": spans are sent without TLS; have a collector on this machine");
  if (!text.starts_with(scheme) || !std::all_of(text.begin(), text.end(), is_plain))
    return wrong(whole + " is no URL of a collector");
  text.remove_prefix(scheme.size());
  const auto slash = text.find('/');
  std::string authority{text.substr(0, slash)};
  const auto colon = authority.rfind(':');
  const auto bracket = authority.rfind(']'); // an IPv6 address has colons of its own
  if (colon == std::string::npos || (bracket != std::string::npos && colon < bracket))
    authority += default_port;
  const auto where = parse_endpoint(authority);
  if (!where || where->host.empty() || where->port == 0)
    return wrong(whole + " is no URL of a collector");
  otlp_url result{*where, std::string{default_path}};
  if (slash != std::string_view::npos && text.size() > slash + 1) result.path = text.substr(slash);
  return result;
}

} // namespace ropewalk
