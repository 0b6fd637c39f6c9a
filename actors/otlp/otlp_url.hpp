#pragma once

#include "net/protocol/result.hpp"
#include "net/transport/endpoint.hpp"

#include <string>
#include <string_view>

namespace ropewalk {

/// Where a collector takes traces by OTLP over HTTP.
struct otlp_url {
  endpoint where;
  std::string path; ///< "/v1/traces", unless another was said
};

/// Of http://HOST:PORT or http://HOST:PORT/PATH; the port is 4318 if there is none. The failure says
/// what is wrong.
result<otlp_url> read_otlp_url(std::string_view text);

} // namespace ropewalk
