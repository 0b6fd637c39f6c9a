#pragma once

#include "actors/handlers/process_load.hpp"
#include "actors/messages.hpp"
#include "actors/node/actor_service.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/node/start_pause.hpp"
#include "actors/supervise/restart_policy.hpp"

#include <atomic>
#include <caf/all.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ropewalk {

/// What somebody's own actors are made by, and how many share the slots; 0: one a slot.
struct actor_service {
  actor_services::maker makes;
  std::uint32_t count = 0;
};

/// Supervises the actors of one service that are somebody's own, one_for_one, and hands them the
/// messages of its queue: in place of a pool with its slots. Actor n has the slots n, n + actors,
/// n + 2 * actors, ... and one message a slot open at the most.
///
/// Whose fault an end is and what is overdue process_load says, as for processes that stay up. What
/// is to run alone waits until nothing else is open at its actor. An actor that blocks is not ended
/// by being killed: the node is asked for a replacement of the process then.
class own_actor_pool final : public caf::event_based_actor {
public:
  struct settings {
    std::uint16_t service = 0;
    std::string name; ///< of the service
    std::uint32_t slots = 1;
    std::size_t max_reply_bytes = 0;
    milliseconds stop_timeout{0};
    bool retry_failed = false;
    restart_policy::settings restarts;
    std::shared_ptr<const actor_service> what;
  };

  own_actor_pool(caf::actor_config& config, settings with, std::shared_ptr<run_queue> queue,
                 caf::actor gateway, caf::actor node);
  const char* name() const override { return "own_actor_pool"; }

protected:
  void on_exit() override;
  caf::behavior make_behavior() override;

private:
  enum class slot_is : std::uint8_t {
    closed, // not offered: its actor is down
    idle,   // waits for the queue to wake it
    taken,  // has a message, or waits until its actor may have one (member::held)
  };

  using slot_number = std::uint32_t;

  struct place { // a slot's
    slot_is is = slot_is::closed;
    std::shared_ptr<run_queue::seat> seat;
    std::shared_ptr<std::atomic<bool>> stop; // of what is open
    work_head runs;
  };

  struct parked_job { // is to run alone, and waits for that
    slot_number slot;
    run_queue::job job;
    instant since;
  };

  struct member {
    caf::actor who;         // null: it is down
    caf::actor_addr ending; // was killed, and is not down yet
    instant killed_at{};
    bool hangs = false; // and that was said
    process_load load;
    std::vector<slot_number> held;
    std::optional<parked_job> parked;
    start_pause pause; // of starts that came to nothing
  };

  void start(std::uint32_t number);
  void open_slots(std::uint32_t number);
  void close_slots(std::uint32_t number, std::uint32_t restarts);
  void take(member& m, slot_number slot, instant now);
  void ask(std::uint32_t number, slot_number slot, run_queue::job& job, instant now);
  void go_on(member& m, instant now);
  void answered(std::uint32_t number, std::uint64_t id, error_code code, std::string&& payload);
  void failed(std::uint32_t number, std::uint64_t id, const caf::error& why);
  void finish(slot_number slot, answer_item& answer, instant now);
  void end_unasked(slot_number slot, item_end how, error_code code, instant now);
  void answer_for(const std::vector<process_load::verdict>& runs, const std::string& why,
                  instant now);
  void went_down(const caf::down_msg& down);
  void check_time(std::uint32_t number, instant now);
  void check_parked(member& m, instant now);
  void kill_overdue(std::uint32_t number, instant now);
  void beat();
  void expect_beat();
  [[nodiscard]] std::vector<slot_number> slots_of(std::uint32_t number) const;
  [[nodiscard]] instant now_is() const { return clock().now(); }

  const settings with_;
  const std::shared_ptr<run_queue> queue_;
  caf::actor gateway_;
  caf::actor node_; // for what only the end of the process would end
  restart_policy policy_;
  start_failures failures_;
  std::vector<place> places_;
  std::vector<member> members_;
  bool beats_ = false;
};

} // namespace ropewalk
