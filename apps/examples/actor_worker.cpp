// A worker of one's own in C++ whose services are actors, for those who know CAF.
//
//     c++ -std=c++20 -o actors apps/examples/actor_worker.cpp $(pkg-config --cflags --libs ropewalk-actors)
//     ./actors --slots 64        (the options of `ropewalk worker`)
#include <map>
#include <ropewalk/actors.hpp>
#include <ropewalk/worker.hpp>
#include <vector>

namespace {

using ropewalk::actor_request;

// An actor that keeps state: how often it has been asked for each word.
struct seen_words {
  std::map<std::string, unsigned> count;
};

caf::behavior tally(caf::stateful_actor<seen_words>* self) {
  return {[self](const actor_request& r) -> caf::result<std::string> {
    if (r.payload.empty()) return caf::make_error(caf::sec::invalid_argument, "there is no word");
    return std::to_string(++self->state.count[r.payload]);
  }};
}

// An actor with many requests open: it collects them, and answers all of them in one go, as a model
// does that is quicker in batches.
struct batch {
  std::vector<caf::typed_response_promise<std::string>> open;
};

caf::behavior batched(caf::stateful_actor<batch>* self) {
  return {[self](const actor_request&) {
            auto& open = self->state.open;
            if (open.empty())
              self->delayed_send(self, std::chrono::milliseconds{20}, caf::tick_atom_v);
            open.push_back(self->make_response_promise<std::string>());
            return open.back();
          },
          [self](caf::tick_atom) {
            const auto size = std::to_string(self->state.open.size());
            for (auto& one : std::exchange(self->state.open, {})) one.deliver("one of " + size);
          }};
}

} // namespace

int main(int argc, char** argv) {
  ropewalk::worker me;
  ropewalk::actor_services{me}
      .add(
          "tally", [](caf::actor_system& system) { return system.spawn(tally); }, 1)
      .add(
          "batched", [](caf::actor_system& system) { return system.spawn(batched); }, 1);
  return me.run(argc, argv);
}
