#include "actors/broker/message_round.hpp"

#include <iterator>
#include <memory>
#include <utility>

namespace ropewalk {

namespace {

struct round {
  std::vector<message_report> known;
  std::size_t outstanding = 0;
  std::function<void(std::vector<message_report>&&)> when_done;

  void one_less() {
    if (--outstanding == 0) when_done(std::move(known));
  }
};

} // namespace

void ask_shards(caf::io::broker& self, const shard_place& shard, const message_query& query,
                std::vector<message_report> own,
                std::function<void(std::vector<message_report>&&)> when_done) {
  const auto others = shard.group->other_fronts(shard.number);
  if (others.empty()) return when_done(std::move(own));
  const auto all = std::make_shared<round>();
  *all = {std::move(own), others.size(), std::move(when_done)};
  for (const auto& other : others)
    self.request(other, shard_group::answer_timeout, explain_atom_v,
                 std::make_shared<const message_query>(query))
        .then(
            [all](const shared_reports& theirs) {
              all->known.insert(all->known.end(), theirs->begin(), theirs->end());
              all->one_less();
            },
            [all](const caf::error&) { all->one_less(); });
}

} // namespace ropewalk
