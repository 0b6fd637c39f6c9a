#pragma once

#include "actors/dispatch/request.hpp"

#include <string_view>

namespace ropewalk {

/// What a request says to its handler besides its message, each empty if it does not.
struct handler_facts {
  std::string_view key;
  std::string_view trace;  ///< as the client gave it
  std::string_view client; ///< who asks
};

/// As fields of a frame; of a trace context that is one the dispatcher is to know.
handler_fields fields_for_handler(const handler_facts& what);

} // namespace ropewalk
