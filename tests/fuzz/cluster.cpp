// What nodes and the broker say to each other, as CAF takes it apart: whatever comes is a message
// or an error, and no more memory is taken than there are bytes.
#include "actors/messages.hpp"

#include <cstdint>
#include <cstdlib>
#include <vector>

using namespace ropewalk;

namespace {

// Never destroyed: CAF's own threads would outlive what it needs at exit.
caf::actor_system& system_of_ours() {
  static auto* config = [] {
    auto* made = new caf::actor_system_config;
    made->add_message_types<caf::id_block::ropewalk>();
    made->set("scheduler.max-threads", std::size_t{1});
    return made;
  }();
  static auto* system = new caf::actor_system{*config};
  return *system;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::vector<char> bytes{data + 1, data + size};
  caf::binary_deserializer source{system_of_ours(), bytes};
  switch (data[0] % 5) {
  case 0: {
    batch b;
    if (!source(b) && b.size() > bytes.size()) std::abort();
    batch_reader reader{b.flat()};
    while (reader.next_work()) {
    }
    break;
  }
  case 1: {
    node_description d;
    (void)source(d);
    break;
  }
  case 2: {
    std::vector<attempt_ref> refs;
    (void)source(refs);
    break;
  }
  case 3: { // as compact_basp takes them
    for (const auto& form : frequent_messages()) {
      auto received = bytes;
      receive_lease payload{received, received.size()};
      const auto what = form->read(payload);
    }
    break;
  }
  default: {
    caf::message anything; // as BASP takes apart what comes for an actor
    (void)source(anything);
  }
  }
  return 0;
}
