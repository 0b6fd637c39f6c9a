#include "actors/broker/broker_supervisor.hpp"
#include "actors/node/node.hpp"
#include "actors/node/pool.hpp"
#include "tests/actor/virtual_time.hpp"
#include "tests/catch.hpp"

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

struct slot_event {
  std::vector<std::uint32_t> up;
  std::vector<std::uint32_t> down;
};

// A gateway that writes down which slots came and went.
caf::behavior noting_gateway(caf::event_based_actor*, std::shared_ptr<slot_event> event) {
  return {
      [event](slot_up_atom, std::uint16_t, std::uint32_t slot, const caf::actor&) {
        event->up.push_back(slot);
      },
      [event](slot_down_atom, std::uint16_t, std::uint32_t slot, const std::string&) {
        event->down.push_back(slot);
      },
  };
}

struct pool_bench {
  explicit pool_bench(std::uint32_t slots) {
    pool_settings settings;
    settings.name = "svc";
    settings.slots = slots;
    settings.start_slot = [this](caf::event_based_actor* pool, std::uint32_t number) {
      auto started = caf::actor{pool->spawn<caf::monitored>(idle_actor)};
      living[number] = started;
      return started;
    };
    gateway = time.system().spawn(noting_gateway, event);
    top = time.system().spawn(pool, settings, gateway);
    ended = watch(top);
    time.run();
  }

  virtual_time time;
  std::shared_ptr<slot_event> event = std::make_shared<slot_event>();
  std::map<std::uint32_t, caf::actor> living;
  caf::actor gateway;
  caf::actor top;
  std::shared_ptr<caf::optional<caf::error>> ended;
};

} // namespace

TEST_CASE(
    "a pool starts its slots, and a slot that falls is started again alone, after its pause") {
  pool_bench b{3};
  REQUIRE(b.event->up == std::vector<std::uint32_t>{0, 1, 2});
  end(b.living[1]);
  b.time.run();
  REQUIRE(b.event->down == std::vector<std::uint32_t>{1});
  REQUIRE(b.event->up.size() == 3); // not yet
  b.time.pass(30ms);
  REQUIRE(b.event->up == std::vector<std::uint32_t>{0, 1, 2, 1});
  REQUIRE_FALSE(*b.ended);
}

TEST_CASE("the pause before a restart doubles while slots keep falling") {
  pool_bench b{1};
  auto restart_takes = [&b](std::chrono::milliseconds at_least, std::chrono::milliseconds at_most) {
    const auto ups = b.event->up.size();
    end(b.living[0]);
    b.time.pass(at_least);
    CHECK(b.event->up.size() == ups);
    b.time.pass(at_most - at_least);
    CHECK(b.event->up.size() == ups + 1);
  };
  restart_takes(10ms, 40ms); // 20 ms, and a fifth either way
  restart_takes(30ms, 60ms);
  restart_takes(60ms, 110ms);
  restart_takes(120ms, 210ms);
}

TEST_CASE("a pool whose slots fall six times within ten seconds gives up, with an error") {
  pool_bench b{2};
  for (int i = 0; i < 5; ++i) {
    end(b.living[0]);
    b.time.pass(500ms);
    REQUIRE_FALSE(*b.ended);
  }
  end(b.living[1]);
  b.time.run();
  REQUIRE(*b.ended);
  REQUIRE(**b.ended == caf::sec::runtime_error);
}

TEST_CASE("a pool whose slots fall now and then lives on") {
  pool_bench b{1};
  for (int i = 0; i < 30; ++i) {
    end(b.living[0]);
    b.time.pass(2100ms);
  }
  REQUIRE_FALSE(*b.ended);
  REQUIRE(b.event->up.size() == 31);
}

namespace {

// A node with a door, a gateway and pools of the test's.
struct node_bench {
  node_bench() {
    gateway = time.system().spawn([this](caf::event_based_actor*) -> caf::behavior {
      return {
          [this](attach_atom, std::uint16_t shard, const caf::actor&, std::uint32_t number) {
            log.push_back("attach " + std::to_string(number));
            attached.insert(shard);
          },
          [this](detach_atom, std::uint16_t shard) {
            log.push_back("detach");
            attached.erase(shard);
          },
          [this](failing_atom, std::uint16_t, bool failing) {
            log.push_back(failing ? "failing" : "works");
          },
          [this](drain_atom) { log.push_back("drain"); },
          [](joined_atom, std::uint32_t) {},
      };
    });
    node_dependencies dependencies;
    dependencies.transport =
        time.system().spawn([this](caf::event_based_actor* self) -> caf::behavior {
          return {[this, self](caf::connect_atom, const std::string&, std::uint16_t port) {
            ++connects;
            connected.insert(port);
            auto promise = self->make_response_promise();
            if (broker)
              promise.deliver(self->node(), caf::actor_cast<caf::strong_actor_ptr>(broker),
                              std::set<std::string>{});
            else
              promise.deliver(caf::make_error(caf::sec::cannot_connect_to_node, "nobody there"));
          }};
        });
    dependencies.start_gateway = [this](caf::event_based_actor*, const run_queues&) {
      return gateway;
    };
    dependencies.start_pool = [this](caf::event_based_actor* self, std::uint16_t,
                                     const std::shared_ptr<run_queue>&, const caf::actor&) {
      ++pools_started;
      pool = self->spawn(idle_actor);
      return pool;
    };
    node_settings settings;
    settings.name = "n";
    settings.slots = 1;
    settings.services.push_back({"svc", parse_handler("builtin:echo").value()});
    top = time.system().spawn(node, settings, dependencies);
    ended = watch(top);
    time.run();
  }

  ~node_bench() { end(top); } // it and its memberships hold each other
  node_bench(const node_bench&) = delete;
  node_bench& operator=(const node_bench&) = delete;

  void start_broker() {
    front = time.system().spawn(idle_actor);
    broker = time.system().spawn([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](join_atom, const node_description&, const caf::actor&) {
        return caf::make_message(welcome_atom_v, ++joins, front, shard_ports);
      }};
    });
  }

  void end_broker() {
    end(broker);
    end(front);
    broker = nullptr;
    front = nullptr;
    time.run();
  }

  virtual_time time;
  std::vector<std::string> log;
  int connects = 0;
  std::uint32_t joins = 0;
  std::vector<std::uint16_t> shard_ports; // that the broker speaks of
  std::set<std::uint16_t> connected;      // ports
  std::set<std::uint16_t> attached;       // shards
  int pools_started = 0;
  caf::actor gateway, broker, front, pool, top;
  std::shared_ptr<caf::optional<caf::error>> ended;
};

} // namespace

TEST_CASE("a node whose broker was replaced joins the new one, and just once") {
  node_bench b;
  b.start_broker();
  b.time.pass(2s);
  REQUIRE(b.joins == 1);
  end(b.front); // it hears of that first, and of the other while it is joining again
  end(b.broker);
  b.start_broker();
  b.time.pass(5s);
  REQUIRE(b.joins == 2);
  REQUIRE(b.attached.size() == 1);
}

TEST_CASE("a node without a broker tries again for ever, with growing pauses, and joins when there "
          "is one") {
  node_bench b;
  REQUIRE(b.connects == 1);
  b.time.pass(200ms);
  REQUIRE(b.connects >= 3);
  b.time.pass(60s);
  const auto tries = b.connects;
  CHECK(tries > 45); // the longest pause is a second, and a fifth either way
  CHECK(tries < 90);
  REQUIRE_FALSE(*b.ended);
  b.start_broker();
  b.time.pass(1300ms);
  REQUIRE(b.log == std::vector<std::string>{"attach 1"});
  b.time.pass(10s);
  REQUIRE(b.joins == 1);
}

TEST_CASE(
    "a node whose broker goes away detaches at once and joins the next one within two seconds") {
  node_bench b;
  b.start_broker();
  b.time.pass(1300ms);
  for (std::uint32_t round = 1; round <= 5; ++round) {
    REQUIRE(b.log.back() == "attach " + std::to_string(round));
    b.end_broker();
    REQUIRE(b.log.back() == "detach");
    b.time.pass(3s);
    b.start_broker();
    b.time.pass(1300ms);
  }
  REQUIRE(b.joins == 6);
}

TEST_CASE(
    "a pool that gives up is reported failing, started again once, and then the node gives up") {
  node_bench b;
  b.start_broker();
  b.time.pass(1300ms);
  end(b.pool);
  b.time.run();
  REQUIRE(b.log.back() == "failing");
  REQUIRE(b.pools_started == 1);
  b.time.pass(1300ms);
  REQUIRE(b.pools_started == 2);
  REQUIRE(b.log.back() == "works");
  end(b.pool);
  b.time.run();
  REQUIRE(*b.ended); // escalated: the process exits, and whoever started it decides
  REQUIRE(**b.ended == caf::sec::runtime_error);
}

TEST_CASE("a pool that gives up once in a long while is started again every time") {
  node_bench b;
  b.start_broker();
  b.time.pass(1300ms);
  for (int i = 0; i < 5; ++i) {
    end(b.pool);
    b.time.pass(25s);
  }
  REQUIRE(b.pools_started == 6);
  REQUIRE_FALSE(*b.ended);
}

TEST_CASE("a node that is told to drain while it looks for a broker ends in good order") {
  node_bench b;
  caf::anon_send(b.top, drain_atom_v);
  b.time.pass(100ms);
  REQUIRE(b.log == std::vector<std::string>{"drain"});
  caf::anon_send(b.top, drained_atom_v);
  b.time.run();
  REQUIRE(*b.ended);
  REQUIRE(**b.ended == caf::exit_reason::user_shutdown);
}

TEST_CASE("a node joins all shards that its broker has, and leaves those that a new one has not") {
  node_bench b;
  b.shard_ports = {7071, 7072, 7073};
  b.start_broker();
  b.time.pass(1300ms);
  REQUIRE(b.connected == std::set<std::uint16_t>{7071, 7072, 7073});
  REQUIRE(b.attached == std::set<std::uint16_t>{0, 1, 2});
  REQUIRE(b.joins == 3);
  b.end_broker();
  REQUIRE(b.attached.empty());
  b.shard_ports = {7071, 8000};
  b.connected.clear();
  b.start_broker();
  b.time.pass(3s);
  REQUIRE(b.connected.contains(8000));
  REQUIRE(b.attached == std::set<std::uint16_t>{0, 1});
  b.connected.clear();
  b.end_broker();
  b.time.pass(3s);
  REQUIRE(b.connected == std::set<std::uint16_t>{7071, 8000}); // it looks for those alone
}

TEST_CASE("a node that is told to drain lets go of all shards before it ends") {
  node_bench b;
  b.shard_ports = {7071, 7072};
  b.start_broker();
  b.time.pass(1300ms);
  b.log.clear();
  caf::anon_send(b.top, drain_atom_v);
  b.time.pass(100ms);
  REQUIRE(b.log == std::vector<std::string>{"drain"}); // the gateway: it takes leave of both
  REQUIRE_FALSE(*b.ended);
}

namespace {

struct broker_bench {
  broker_bench() {
    broker_dependencies dependencies;
    dependencies.transport = time.system().spawn([this](caf::event_based_actor*) -> caf::behavior {
      return {[this](caf::publish_atom, std::uint16_t port, const caf::strong_actor_ptr& who,
                     const std::set<std::string>&, const std::string&, bool) {
                cluster = caf::actor_cast<caf::actor>(who);
                return port;
              },
              [this](caf::close_atom, std::uint16_t port) { closed_port = port; }};
    });
    dependencies.start_front = [this](caf::event_based_actor* self,
                                      const broker_settings& settings) {
      ++fronts;
      auto started = caf::actor{self->spawn(idle_actor)};
      if (listens)
        caf::anon_send(caf::actor{self}, ready_atom_v, std::vector<std::string>{"127.0.0.1:4711"});
      else
        end(started);
      listened = settings.listen;
      front = started;
      return started;
    };
    top = time.system().spawn(broker_supervisor, broker_settings{}, dependencies);
    ended = watch(top);
  }

  virtual_time time;
  bool listens = true;
  int fronts = 0;
  std::vector<endpoint> listened;
  std::uint16_t closed_port = 0;
  caf::actor cluster, front, top;
  std::shared_ptr<caf::optional<caf::error>> ended;
};

} // namespace

TEST_CASE("a front that falls is started again, on the port that the first one took") {
  broker_bench b;
  b.time.run();
  REQUIRE(b.cluster);
  end(b.front);
  b.time.pass(50ms);
  REQUIRE(b.fronts == 2);
  REQUIRE(b.listened == std::vector<endpoint>{{"127.0.0.1", 4711}});
  REQUIRE_FALSE(*b.ended);
}

TEST_CASE("a front that falls six times within ten seconds ends the broker with an error") {
  broker_bench b;
  b.time.run();
  for (int i = 0; i < 5; ++i) {
    end(b.front);
    b.time.pass(1s);
    REQUIRE_FALSE(*b.ended);
  }
  end(b.front);
  b.time.run();
  REQUIRE(*b.ended);
  REQUIRE(**b.ended == caf::sec::runtime_error);
}

TEST_CASE("a broker that cannot listen says so and does not try again") {
  broker_bench b;
  b.listens = false;
  b.time.pass(1s);
  REQUIRE(b.fronts == 1);
  REQUIRE(*b.ended);
}

TEST_CASE("a broker whose cluster falls gives up: its own supervisor decides") {
  broker_bench b;
  b.time.run();
  end(b.cluster);
  b.time.run();
  REQUIRE(*b.ended);
  REQUIRE(**b.ended == caf::sec::runtime_error);
}

TEST_CASE("a broker that drains closes its cluster port and ends what is published there") {
  broker_bench b;
  b.time.run();
  const auto published = watch(b.cluster);
  caf::anon_send(b.top, drain_atom_v);
  b.time.run();
  REQUIRE(b.closed_port == broker_settings{}.cluster.port);
  REQUIRE(*published); // nodes that were let go know by it that this broker takes them no more
  REQUIRE(**published == caf::exit_reason::user_shutdown);
}
