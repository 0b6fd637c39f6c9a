#include "net/cluster/loop_source.hpp"

#include "net/cluster/checked_cast.hpp"
#include "net/cluster/shared_loop.hpp"

#include <caf/io/network/default_multiplexer.hpp>
#include <cassert>

namespace ropewalk {

using caf::io::network::operation;

loop_source::loop_source(shared_loop& loop, int fd) : event_handler(loop, fd) {}

// CAF's list of what is new at the loop has no lock.
void loop_source::add_to_loop() {
  assert(checked_cast<shared_loop>(backend()).is_leading());
  added_ = true;
  backend().add(operation::read, fd(), this);
}

// CAF drops an `add` that is taken back before it was carried out, and does not say so.
void loop_source::remove_from_loop() {
  added_ = false;
  backend().del(operation::read, fd(), this);
  if ((eventbf() & caf::io::network::input_mask) != 0) return; // it will say so
  backend().post([this, there = std::weak_ptr{life_}] {
    if (!there.expired() && !added_) on_removed();
  });
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
