// ropewalk/actors.hpp: services whose slots are actors of one's own, in a worker of one's own
// (ropewalk/worker.hpp, the library Ropewalk::worker), for those who know CAF. For CAF 0.17.6, as
// Debian has it, and linked with its library: Ropewalk::actors does both.
//
//     int main(int argc, char** argv) {
//       ropewalk::worker me;
//       ropewalk::actor_services{me}.add(
//           "score", [](caf::actor_system& system) { return system.spawn(scorer); });
//       return me.run(argc, argv);
//     }
#pragma once

#include <atomic>
#include <caf/all.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

static_assert(CAF_VERSION == 1706, "the library was made for CAF 0.17.6, whose layouts it shares");

namespace ropewalk {

class worker;

/// A message, as an actor gets it. What its behaviour answers with a std::string is the reply: at
/// once, or later by a response promise, so that one actor may have many open. At most the cap on
/// messages (--max-message-bytes, 2 MiB), else the answer is TOO_LARGE. A caf::error is the answer
/// FAILED, and final. (busy: below.) CAF does not say that a promise went away without an answer:
/// such a message is one that hangs. What a behaviour throws is the answer FAILED, too, and the end of
/// its actor.
struct actor_request {
  std::string service;
  std::string payload;
  std::uint64_t id = 0; ///< of the request, the same for all its starts
  /// Which start of the message this is; above 1, an earlier one may have had effects.
  unsigned attempt = 1;
  std::chrono::steady_clock::time_point deadline;
  std::string key;   ///< its ordering key, its trace context, and its client's name; each may be
  std::string trace; ///< empty
  std::string client;
  /// Becomes true when nobody wants the answer any more: answer soon, with whatever there is. Shared
  /// with the node, so that it may be kept.
  std::shared_ptr<const std::atomic<bool>> stop;

  [[nodiscard]] bool stopped() const { return stop && stop->load(std::memory_order_relaxed); }
};

/// For CAF's own logs.
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, actor_request& x) {
  return f(caf::meta::type_name("actor_request"), x.service, x.id, x.attempt);
}

/// The answer of an actor that has not started a message: it goes to another node, charged to
/// nobody.
inline caf::error busy(std::string why) {
  constexpr std::uint8_t wire_number = 3; // net/PROTOCOL.md
  return caf::error{wire_number, caf::atom("ropewalk"), caf::make_message(std::move(why))};
}

/// Adds services of actors to a worker that has not run yet.
class actor_services {
public:
  /// Makes an actor, from whichever thread: spawned as one likes, `detached` if it blocks. What it
  /// throws is logged, and tried again after a pause.
  using maker = std::function<caf::actor(caf::actor_system& system)>;

  explicit actor_services(worker& of) : of_(of) {}

  /// Offers a service by `count` actors that share its slots (--slots, or --set NAME.slots=N):
  /// never has one of them more than its share open. 0: one actor a slot, and never more than one
  /// message open in each. `name` is as in worker::service.
  ///
  /// They are supervised: an actor that ends, for whatever reason, is made again, after a pause that
  /// grows; a message that it had open is charged a start and run again, at most --attempts times;
  /// of several it is not known which was to blame, and each runs with nothing beside it from then
  /// on. One that has not answered `stop-timeout` after its deadline is killed, and the others that
  /// the actor had open are run again, charged to nobody.
  actor_services& add(std::string name, maker makes, std::uint32_t count = 0);

private:
  worker& of_;
};

} // namespace ropewalk

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(ropewalk::actor_request) // it never leaves the process
