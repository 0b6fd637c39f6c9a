#include "net/cluster/loop_source.hpp"

#include "net/cluster/checked_cast.hpp"
#include "net/cluster/shared_loop.hpp"

#include <cassert>

namespace ropewalk {

using caf::io::network::operation;

loop_source::loop_source(shared_loop& loop, int fd) : event_handler(loop, fd) {}

// CAF's list of what is new at the loop has no lock.
void loop_source::add_to_loop() {
  assert(checked_cast<shared_loop>(backend()).is_leading());
  backend().add(operation::read, fd(), this);
}

void loop_source::remove_from_loop() {
  backend().del(operation::read, fd(), this);
}

void loop_source::handle_event(operation op) {
  if (op == operation::read)
    on_readable();
  else
    on_failure();
}

void loop_source::removed_from_loop(operation op) {
  if (op == operation::read) on_removed();
}

} // namespace ropewalk
