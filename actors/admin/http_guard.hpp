#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ropewalk {

/// Against what pages of other sites have a browser do (DNS rebinding, cross-site requests): it has
/// no secret that they do not know, where nobody asks for a token.
struct http_guard {
  std::string name;          ///< the host that --http named
  bool loopback_only = true; ///< what listens is on loopback, so that nobody calls it otherwise
  bool anybody = false;      ///< may ask for everything: beyond loopback, by --insecure-http

  struct refusal {
    int status;
    std::string why;
  };

  /// Why a request for this Host, with these fields, is not taken; nothing: it is. `origin` and
  /// `site` (Sec-Fetch-Site) are what browsers say of where it comes from; empty: nothing.
  [[nodiscard]] std::optional<refusal> check(std::string_view host, std::string_view origin,
                                             std::string_view site) const;
};

} // namespace ropewalk
