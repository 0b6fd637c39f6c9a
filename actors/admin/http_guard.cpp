#include "actors/admin/http_guard.hpp"

#include <algorithm>

namespace ropewalk {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

// 127.0.0.0/8 in its usual form, and no name that only begins so (127.0.0.1.example).
bool is_loopback_number(std::string_view host) {
  if (!host.starts_with("127.")) return false;
  return std::all_of(host.begin(), host.end(),
                     [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

std::string_view without_brackets(std::string_view host) {
  if (host.starts_with('[') && host.ends_with(']')) return host.substr(1, host.size() - 2);
  return host;
}

} // namespace

std::optional<http_guard::refusal> http_guard::check(std::string_view host, std::string_view origin,
                                                     std::string_view site) const {
  const auto called = without_port(host);
  if (loopback_only && !host.empty() && !same(called, "localhost") && called != "[::1]" &&
      !is_loopback_number(called) && !same(without_brackets(called), without_brackets(name)))
    return refusal{421, "this is not what listens under that name: say localhost, or have the "
                        "broker listen where it is to be reached (--http HOST:PORT)"};
  if (site == "cross-site" || site == "same-site")
    return refusal{403, "a page of another site asks for this"};
  // Browsers let no page say that. Behind a proxy the host may be another than the page's.
  if (origin.empty() || site == "same-origin") return std::nullopt;
  auto from = origin;
  for (const std::string_view scheme : {"http://", "https://"})
    if (from.starts_with(scheme)) from.remove_prefix(scheme.size());
  if (from.size() == origin.size() || !same(from, host))
    return refusal{403, "a page of another site asks for this"};
  return std::nullopt;
}

} // namespace ropewalk
