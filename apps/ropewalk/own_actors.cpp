#include "actors/node/own_actor_pool.hpp"
#include "actors/worker/function_handler.hpp"

#include <utility>

namespace ropewalk {

actor_services& actor_services::add(std::string name, maker makes, std::uint32_t count) {
  handler_spec spec;
  spec.text = "actors of this program";
  spec.runs_in_node = true;
  spec.actors = std::make_shared<actor_service>(actor_service{std::move(makes), count});
  of_.contents_->services.push_back({std::move(name), std::move(spec)});
  return *this;
}

} // namespace ropewalk
