#include "actors/broker/status_round.hpp"

#include "actors/messages.hpp"

namespace ropewalk {

void status_round::begin(broker_report own, when_done done) {
  sum_ = std::move(own);
  done_ = std::move(done);
  const auto others = shard_.group->other_fronts(shard_.number);
  outstanding_ = others.size();
  if (others.empty()) return done_(sum_);
  for (const auto& other : others)
    self_.request(other, shard_group::answer_timeout, status_atom_v)
        .then(
            [this](const broker_report& theirs) {
              sum_.add(theirs);
              one_less();
            },
            [this](const caf::error&) { one_less(); });
}

void status_round::one_less() {
  if (--outstanding_ == 0) done_(sum_);
}

} // namespace ropewalk
