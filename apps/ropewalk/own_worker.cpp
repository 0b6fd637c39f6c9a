#include "actors/worker/function_handler.hpp"
#include "apps/ropewalk/command_line.hpp"

#include <algorithm>

namespace ropewalk {

int worker::run(int argc, char** argv) {
  std::string name = argc > 0 ? argv[0] : "worker";
  name.erase(0, name.rfind('/') + 1);
  command_line program{"A worker for Ropewalk, with services of its own.", name};
  program.add("worker", "run handlers for a broker",
              [this](CLI::App& app) { return add_worker(app, contents_->services); });
  program.add("relay", "connect a worker with a server", add_relay);
  std::vector<std::string> words{argv + std::min(argc, 1), argv + argc};
  // A master says so to those that it starts; people need not.
  if (words.empty() || (words.front() != "worker" && words.front() != "relay"))
    words.insert(words.begin(), "worker");
  return program.run(std::move(words));
}

} // namespace ropewalk
