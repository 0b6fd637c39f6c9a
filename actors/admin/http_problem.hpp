#pragma once

#include "net/protocol/error.hpp"

#include <string>
#include <string_view>

namespace ropewalk {

/// The status code by which HTTP answers a request that ended so.
int http_status_of(error_code code);

inline constexpr std::string_view http_problem_type = "application/problem+json";

/// Why, as JSON (RFC 9457, application/problem+json): `code` is the name of the error in the
/// protocol's closed set, or empty where the fault is HTTP's alone.
std::string http_problem(int status, std::string_view code, std::string_view detail);

} // namespace ropewalk
