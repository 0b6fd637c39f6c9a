#pragma once

#include <string_view>

namespace ropewalk {

/// What --http serves, as OpenAPI 3.1: net/openapi.json, put in by the build. It lives as long as
/// the program.
std::string_view openapi_document();

} // namespace ropewalk
