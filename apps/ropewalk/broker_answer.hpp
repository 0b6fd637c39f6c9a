#pragma once

#include "apps/ropewalk/options.hpp"

#include <string>
#include <string_view>

namespace ropewalk {

/// What a broker that was asked for its status said.
struct broker_answer {
  int status = 0;        ///< 0, or the exit status that says why there is no answer
  std::string complaint; ///< for stderr; empty: there is none
  std::string json;      ///< what the broker said; empty: nothing
};

/// Connects, asks, and waits for the answer. `about`: see client::send_status.
broker_answer ask_broker(const connection_options& options, std::string_view about = {});

} // namespace ropewalk
