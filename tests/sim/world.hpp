#pragma once

#include "actors/dispatch/dispatcher.hpp"
#include "actors/node/start_lease.hpp"
#include "actors/supervise/restart_policy.hpp"
#include "net/protocol/batch.hpp"
#include "tests/sim/event_queue.hpp"
#include "tests/sim/oracle.hpp"
#include "tests/sim/random.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

/// A broker's dispatcher, real, with everything around it simulated in virtual time: clients, nodes
/// with slots, and the network between them. What happens depends on the seed alone.
namespace ropewalk::sim {

class world {
public:
  explicit world(std::uint64_t seed, bool trace = false);

  /// Runs to the end; throws `violation` when a promise is broken. Returns the number of steps.
  std::uint64_t run();

private:
  enum class what : std::uint8_t {
    submit,    // a client sends a request, and thinks about the next
    cancel,    // a client takes one back
    leave,     // a client goes away, and another comes
    work,      // a request reaches a node
    withdraw,  // so does the news that nobody wants it
    retired,   // so does the answer to a node's "retire"
    leased,    // and that to its question whether it is a member
    dropped,   // a node finds that its broker has let it go
    beat,      // a node's clock
    others,    // a slot is taken by what another dispatcher asked for
    others_go, // and is free again
    others_on, // it is held for so long that this dispatcher is told
    look,      // a gateway looks whether messages are held up
    slot_done, // a handler comes to an end
    slot_up,   // a slot is started again
    pool_up,   // a pool is
    answer,    // an answer, a return or the news of a crash reaches the broker
    slots,     // the news of how many slots live
    failing,   // the news that a pool fails
    retire,    // a node's word that it drains
    lease,     // its question
    goodbye,   // a node's word that it is drained
    lost,      // the broker notices that a node is gone
    suspect,   // the broker's patience with a silent node is over
    calm,      // a frozen node goes on, or a cut network is healed
    undrain,   // a node that somebody drained is let work again
    resume,    // a service that somebody paused goes on
    start,     // a node comes (again)
    succeed,   // a node's successor is a member: now it drains
    turn,      // the broker's turn ends: what was placed leaves
    tick,      // time is told to the dispatcher
    more_ends, // it is to end more of those that end together
    chaos,     // something goes wrong
  };

  struct event {
    what kind{};
    std::uint32_t who = 0;   // client, or node
    std::uint32_t epoch = 0; // of the node: events of one that died since are void
    node_number number = no_index;
    std::uint32_t id = 0;
    token request = 0;
    std::uint32_t fence = 0;
    std::uint32_t bytes_of = 0; // whose payload it carries: a request's number and 1; 0: nobody's
    instant deadline{};
    instant asked{};
    std::uint32_t run = 0; // of a slot
    std::uint32_t run_us = 0;
    std::uint16_t service = 0;
    std::uint16_t slot = 0;
    std::uint8_t attempt = 0;
    item_end end{};
    bool flag = false;
    bool alone = false;
  };

  enum class fate : std::uint8_t { works, crashes_slot, kills_node, hangs };

  struct plan { // what a request does to its worker
    fate f = fate::works;
    std::uint32_t run_us = 0;
  };

  struct client {
    connection_id connection;
    double think_us = 0;
    std::uint32_t burst = 1;
    bool waits = false; // paused by the broker
  };

  struct slot {
    bool up = true;
    bool busy = false;
    bool taken = false; // by others, and
    bool told = false;  // the broker was told
    std::uint32_t run = 0;
    event what{}; // that it runs
  };

  struct pool {
    std::deque<event> waiting;
    std::vector<slot> slots;
    restart_policy policy{{}};
    instant last_end{};
    std::uint16_t per_process = 1; // slots that share a process: neighbours
    bool failing = false;
    bool looking = false;
  };

  struct node {
    std::uint32_t epoch = 0;
    node_number number = no_index; // with the broker
    bool alive = false;
    bool frozen = false;
    bool cut = false;
    bool draining = false;
    bool retired = false;
    bool said_goodbye = false;
    bool beats = false;
    std::unique_ptr<start_lease> lease;
    std::uint32_t trouble = 0; // counts freezes and cuts
    instant healed{};          // when it could be reached again
    std::vector<pool> pools;
    std::vector<std::pair<instant, event>> held; // what waits for it to go on
    instant to_node{}, to_broker{};              // when the last message on the way arrives
  };

  void plan_world();
  void step(const event& e);
  void node_step(node& n, const event& e);
  [[nodiscard]] bool is_for_node(what kind) const;

  // clients
  void submit(client& from);
  void leave_untold();
  void use_id_again(client& from);
  void leave(client& who);

  // nodes
  void start(std::uint32_t which);
  void die(std::uint32_t which);
  void drain(std::uint32_t which);
  void reload(std::uint32_t which);
  void begin_work(std::uint32_t which, std::uint16_t service);
  [[nodiscard]] static bool may_start(const pool& p, std::uint16_t slot, const event& item);
  void slot_done(std::uint32_t which, const event& e);
  void process_died(std::uint32_t which, const event& of);
  void withdraw(std::uint32_t which, const event& e);
  void give_back(std::uint32_t which, const event& item);
  void look(std::uint32_t which, std::uint16_t service);
  void drain_further(std::uint32_t which);
  void beat(std::uint32_t which);
  void begin_all(std::uint32_t which);
  void others(std::uint32_t which, const event& e);
  void dropped(std::uint32_t which);
  void trouble(std::uint32_t which, bool frozen);
  void hold_node(std::uint32_t which);
  void pause_service();
  void chaos();

  // the network: in order, each way
  void to_node(std::uint32_t which, event e);
  void to_broker(std::uint32_t which, event e);
  void after(microseconds delay, event e) { events_.add(now_ + delay, std::move(e)); }
  microseconds network() {
    return microseconds{20 + static_cast<std::int64_t>(random_.exponential(latency_us_))};
  }

  // the broker
  void broker_step(const event& e);
  void lose(std::uint32_t which, node_number number, const char* why);
  void carry_out(bool at_once = false);
  void end_turn();
  void note(const char* format, ...);

  random_source random_;
  bool trace_;
  dispatch_settings settings_;
  instant now_{};
  instant end_{}; // from when on no client asks and nothing goes wrong
  event_queue<event> events_;
  dispatcher dispatcher_;
  oracle oracle_;
  std::vector<plan> plans_; // by request
  std::vector<client> clients_;
  std::vector<node> nodes_;
  std::vector<std::uint32_t> node_of_number_;
  std::uint32_t services_ = 1;
  std::uint32_t keys_ = 0;
  double latency_us_ = 100;
  double run_us_ = 1000;
  double chaos_us_ = 100'000;
  std::uint32_t poison_ = 0; // one request in so many
  std::uint32_t budget_ = 0; // requests yet to come
  bool tick_expected_ = false;
  bool more_ends_expected_ = false;
  bool turn_open_ = false;
  double others_us_ = 0; // how often others take a slot; 0: never
};

} // namespace ropewalk::sim
