#include "actors/admin/http_routes.hpp"

#include "actors/admin/message_pages.hpp"
#include "net/protocol/limits.hpp"

#include <array>
#include <optional>
#include <utility>

namespace ropewalk {

namespace {

constexpr std::string_view services_prefix = "/v1/services/";
constexpr std::string_view cancel_prefix = "/v1/cancel/";

// A node's label has its machine's name in it: longer ones cannot be.
constexpr std::size_t max_name_bytes = 1024;

// What is done, and to whom it is done: /v1/drain/left.
constexpr std::array<std::pair<std::string_view, operator_verb>, 4> verb_prefixes{{
    {"/v1/drain/", operator_verb::drain},
    {"/v1/undrain/", operator_verb::undrain},
    {"/v1/pause/", operator_verb::pause},
    {"/v1/resume/", operator_verb::resume},
}};

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

} // namespace

std::optional<std::string> decode_percent(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = digit(text[i + 1]);
    const int low = digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    result += static_cast<char>(high << 4 | low);
    i += 2;
  }
  return result;
}

std::string encode_percent(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  constexpr std::string_view plain =
      "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
      "-._~/";
  std::string result;
  for (const char c : text) {
    if (plain.find(c) != std::string_view::npos) {
      result += c;
      continue;
    }
    result += '%';
    result += digits[static_cast<unsigned char>(c) >> 4];
    result += digits[static_cast<unsigned char>(c) & 15];
  }
  return result;
}

namespace {

// A name may have slashes in it, as paths have. Nothing if it is none.
std::optional<std::string> name_behind(std::string_view prefix, std::string_view path) {
  if (!path.starts_with(prefix)) return std::nullopt;
  auto name = decode_percent(path.substr(prefix.size()));
  if (!name || name->empty() || name->size() > max_name_bytes) return std::nullopt;
  return name;
}

http_route route_of(std::string_view path) {
  if (path == "/healthz") return http_route::health;
  if (path == "/readyz") return http_route::ready;
  if (path == "/status") return http_route::status;
  if (path == "/metrics") return http_route::metrics;
  if (path == "/") return http_route::page;
  if (path == "/openapi.json") return http_route::openapi;
  if (path == "/events") return http_route::events;
  if (path == messages_path || path.starts_with(std::string{messages_path} + '/'))
    return http_route::messages;
  return http_route::nothing;
}

bool has(http_side side, http_route route) {
  return side == http_side::broker || route == http_route::health || route == http_route::ready ||
         route == http_route::status || route == http_route::metrics;
}

} // namespace

std::string_view paths_of(http_side of) {
  return of == http_side::broker ? "/openapi.json lists what there is"
                                 : "see /status, /metrics, /healthz, /readyz";
}

http_place place_of(std::string_view target, http_side of) {
  http_place result;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!target.starts_with(scheme)) continue;
    target.remove_prefix(scheme.size());
    const auto path = target.find('/');
    result.origin = target.substr(0, path);
    target = path == std::string_view::npos ? std::string_view{"/"} : target.substr(path);
  }
  const auto path = target.substr(0, target.find('?'));
  result.route = route_of(path);
  if (result.route == http_route::messages) result.target = target;
  if (auto name = name_behind(services_prefix, path);
      name && name->size() <= limits::max_service_bytes) {
    result.route = http_route::service;
    result.service = *std::move(name);
  }
  if (auto name = name_behind(cancel_prefix, path)) {
    result.route = http_route::cancel;
    result.message = *std::move(name);
  }
  for (const auto& [prefix, verb] : verb_prefixes)
    if (auto name = name_behind(prefix, path)) {
      result.route = http_route::action;
      result.action = {verb, *std::move(name)};
    }
  if (has(of, result.route)) return result;
  http_place nothing;
  nothing.origin = result.origin;
  return nothing;
}

std::string_view methods_of(http_route route) {
  switch (route) {
  case http_route::nothing:
    return "OPTIONS";
  case http_route::service:
  case http_route::action:
  case http_route::cancel:
    return "POST, OPTIONS";
  case http_route::events:
    return "GET, OPTIONS";
  default:
    return "GET, HEAD, OPTIONS";
  }
}

bool allows(http_route route, std::string_view method) {
  if (method == "OPTIONS") return true;
  if (route == http_route::nothing) return false;
  if (route == http_route::service || does_something(route)) return method == "POST";
  if (route == http_route::events) return method == "GET";
  return method == "GET" || method == "HEAD";
}

bool does_something(http_route route) {
  return route == http_route::action || route == http_route::cancel;
}

} // namespace ropewalk
