// A worker whose service `one` is an actor that does what its messages say, well or badly.
//
//     echo TEXT        replies with TEXT            later          replies after 300 ms
//     quit             ends                         never          keeps the request open
//     until stopped    answers once nobody wants it any more
//     busy             says that it is              large          replies with 3 MB
#include <map>
#include <ropewalk/actors.hpp>
#include <ropewalk/worker.hpp>
#include <vector>

namespace {

using ropewalk::actor_request;
using promise = caf::typed_response_promise<std::string>;

struct open_requests {
  std::vector<std::pair<promise, actor_request>> watched;
  std::vector<promise> later;
  std::vector<promise> kept;
};

using self_pointer = caf::stateful_actor<open_requests>*;

caf::result<std::string> obey(self_pointer self, const actor_request& r) {
  auto& state = self->state;
  const auto& what = r.payload;
  if (what.rfind("echo ", 0) == 0) return what.substr(5);
  if (what == "large") return std::string(3'000'000, 'x');
  if (what == "busy") return ropewalk::busy("not now");
  auto open = self->make_response_promise<std::string>();
  if (what == "quit") self->quit(caf::make_error(caf::sec::runtime_error, "as I was told"));
  if (what == "later") {
    state.later.push_back(open);
    self->delayed_send(self, std::chrono::milliseconds{300}, caf::ok_atom_v);
  } else if (what == "until stopped") {
    state.watched.emplace_back(open, r);
    self->send(self, caf::tick_atom_v);
  } else {
    state.kept.push_back(open);
  }
  return open;
}

caf::behavior one(self_pointer self) {
  return {[self](const actor_request& r) { return obey(self, r); },
          [self](caf::ok_atom) {
            self->state.later.front().deliver(std::string{"later"});
            self->state.later.erase(self->state.later.begin());
          },
          [self](caf::tick_atom) {
            auto& watched = self->state.watched;
            if (watched.empty()) return;
            auto& [open, request] = watched.front();
            if (!request.stopped())
              return self->delayed_send(self, std::chrono::milliseconds{5}, caf::tick_atom_v);
            open.deliver(caf::make_error(caf::sec::runtime_error, "stopped"));
            watched.erase(watched.begin());
          }};
}

} // namespace

int main(int argc, char** argv) {
  ropewalk::worker me;
  ropewalk::actor_services{me}.add(
      "one", [](caf::actor_system& system) { return system.spawn(one); }, 1);
  return me.run(argc, argv);
}
