#include "actors/node/sched_class.hpp"

#include <sched.h>
#include <utility>

namespace ropewalk {

namespace {

// Above one it waits for its turn, below the other it does not.
constexpr double many = 16;
constexpr double few = 6;

// How much the last wake-up weighs.
constexpr double weight = 1.0 / 16;

} // namespace

void sched_class::worked_off(unsigned messages) {
  mean_ += (messages - mean_) * weight;
  if (mean_ > many) take_turns(true);
  if (mean_ < few) take_turns(false);
}

void sched_class::take_turns(bool yes) {
  if (std::exchange(takes_turns_, yes) == yes) return;
  const sched_param none{};
  // Where it may not, it works all the same.
  (void)::sched_setscheduler(0, yes ? SCHED_BATCH : SCHED_OTHER, &none);
}

} // namespace ropewalk
