#pragma once

#include "actors/handlers/registry.hpp"
#include "actors/worker/worker.hpp"

#include <string>
#include <vector>

namespace ropewalk {

/// A handler whose slots have a function each, made on the slot's thread.
handler_spec function_handler(worker::function_maker makes);

/// What a worker was given, by name.
struct own_service {
  std::string name;
  handler_spec handler;
};

struct worker::contents {
  std::vector<own_service> services;
};

} // namespace ropewalk
