#pragma once

#include "actors/messages.hpp"
#include "actors/node/run_queue.hpp"
#include "actors/time/broker_clock.hpp"
#include "actors/time/coarse_clock.hpp"
#include "net/cluster/shared_loop.hpp"

#include <caf/io/broker.hpp>
#include <memory>
#include <optional>
#include <vector>

namespace ropewalk {

/// Batches in and out of a node: takes work from the fronts (one; one a shard, if the broker has
/// several) apart into the services' queues and wakes slots; fetches their answers and sends them
/// back, all that there are for a front in one message. A CAF broker without sockets, so that it
/// runs on the event loop's thread and BASP reaches it without a change of threads; it never
/// blocks.
///
/// Draining: the fronts are told to send nothing more (retire); what has not started goes back;
/// when the last running message is answered it takes its leave, and only when that is confirmed is
/// it drained: then nothing is on the way.
class gateway final : public caf::io::broker {
public:
  /// `loop` is the one at which slots lead; null: there is none.
  /// `lease` is that of the services' queues; it is kept here.
  gateway(caf::actor_config& config, std::vector<std::shared_ptr<run_queue>> services,
          std::shared_ptr<start_lease> lease, caf::actor node, std::uint64_t recycle_after,
          shared_loop* loop);

  const char* name() const override { return "gateway"; }

protected:
  caf::behavior make_behavior() override;
  void on_exit() override;

private:
  using shard_number = run_queue::shard_number;

  struct shard {
    caf::actor front; // null: not a member there
    std::uint32_t number = 0;
    std::vector<std::uint32_t> announced_slots; // by service: how many there are for it
    broker_clock clock;
    bool retired = false;
  };

  void take_work(shard_number from, std::uint64_t sent_us, const batch& work);
  void wake(std::uint16_t service, run_queue::slots_to_wake slots);
  void rouse();
  void report_lost(std::uint16_t service, std::uint32_t slot, const std::string& why);
  void slot_up(std::uint16_t service, std::uint32_t slot, caf::actor who);
  void slots_up(std::uint16_t service, const std::vector<std::uint32_t>& slots,
                const caf::actor& pool);
  void close_slots(std::uint16_t service);
  void slots_down(std::uint16_t service, const std::vector<std::uint32_t>& slots,
                  std::uint32_t restarts);
  void count_restarts(std::uint32_t count);
  void ask_what_waits();
  void slot_down(std::uint16_t service, std::uint32_t slot, const std::string& why);
  void tell_slots(std::uint16_t service);
  void tell_slots(shard& s, std::uint16_t service);
  void send_answers();
  void give_back(std::uint16_t service, const run_queue::origin& which);
  void gain_front(shard_number which, caf::actor front, std::uint32_t number);
  void lose_front(shard_number which);
  void drain();
  void drain_further();
  caf::result<shared_worker_report> report();
  void return_stalled();
  void tick();
  void expect_tick();
  void beat();
  void tell_held_slots();
  [[nodiscard]] std::uint32_t live_slots(std::uint16_t service) const;
  [[nodiscard]] shard_number shard_count() const {
    return static_cast<shard_number>(shards_.size());
  }
  [[nodiscard]] std::uint16_t service_count() const {
    return static_cast<std::uint16_t>(services_.size());
  }

  std::vector<std::shared_ptr<run_queue>> services_;
  const std::shared_ptr<start_lease> lease_;
  coarse_clock clock_;
  std::vector<std::vector<caf::actor>> slots_; // by service; null: not there yet, or fallen
  std::vector<bool> asks_what_waits_;          // by service: its pool does
  std::vector<caf::actor> pools_;              // by service, of those whose slots are attended to
  std::vector<std::vector<work_item>> sorted_; // scratch of take_work: by service
  std::vector<shard> shards_;
  caf::actor node_;
  std::uint64_t recycle_after_; // messages; 0: never
  std::uint64_t taken_ = 0;
  std::uint64_t joins_ = 0;
  std::vector<std::uint64_t> restarts_; // by service
  std::uint32_t shards_of_broker_ = 0;  // 0: it has not said
  shared_loop* loop_;
  struct timers {
    shared_loop::timer_id beat, tick;
  };
  std::optional<timers> timers_; // of the loop, as long as this runs
  bool draining_ = false;
  bool leaving_ = false;
  bool tick_expected_ = false;
};

} // namespace ropewalk
