#include "actors/broker/cluster.hpp"
#include "actors/broker/node_table.hpp"
#include "net/cluster/shared_loop.hpp"
#include "tests/actor/virtual_time.hpp"
#include "tests/catch.hpp"

#include <caf/io/all.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <malloc.h>
#include <spdlog/spdlog.h>

/// Nodes come and go for as long as a broker lives: what it keeps of them, and what the next one
/// costs, must not grow with how many there have been.
using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

constexpr int rounds = 10'000;

// Bytes that are taken from the heap now; 0 under the address sanitizer.
std::size_t heap_bytes() {
  return ::mallinfo2().uordblks;
}

node_description a_node(int number) {
  node_description d;
  d.name = "node-" + std::to_string(number);
  d.host = "a-host-with-a-long-name-" + std::to_string(number) + ".example";
  d.pid = static_cast<std::uint32_t>(number);
  d.services = {{"echo", 4}, {"upper", 4}};
  return d;
}

class quiet_log {
public:
  quiet_log() { spdlog::set_level(spdlog::level::off); }
  ~quiet_log() { spdlog::set_level(level_); }

private:
  spdlog::level::level_enum level_ = spdlog::get_level();
};

struct system_with_loop {
  struct config : caf::actor_system_config {
    config() {
      add_message_types<caf::id_block::ropewalk>();
      set("scheduler.max-threads", std::size_t{1});
      shared_loop::use_for(*this);
    }
  } settings;
  caf::actor_system system{settings};
};

// Runs something within a broker, on its loop.
class on_the_loop final : public caf::io::broker {
public:
  on_the_loop(caf::actor_config& config, std::function<void(caf::io::broker&)> what)
      : broker(config), what_(std::move(what)) {}

protected:
  caf::behavior make_behavior() override {
    what_(*this);
    return {};
  }

private:
  std::function<void(caf::io::broker&)> what_;
};

void check_node_table(caf::io::broker& self) {
  const quiet_log quiet;
  dispatcher work{{}, instant{}, 1};
  node_table nodes{self, work, {}};
  const auto gateway = self.spawn(idle_actor);
  std::size_t heap = 0;
  std::chrono::nanoseconds early{};
  std::chrono::nanoseconds late{};
  for (int i = 0; i < rounds; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const auto number = nodes.join(a_node(i), gateway, instant{});
    (void)nodes.report();
    nodes.lose(number, "it went away", instant{});
    work.pending() = {};
    const auto took = std::chrono::steady_clock::now() - begin;
    if (i >= 1000 && i < 2000) early += took;
    if (i >= rounds - 1000) late += took;
    if (i == 1000) heap = heap_bytes();
  }
  CHECK(nodes.report().empty());
  CHECK(heap_bytes() < heap + (64 << 10));
  // A cost that grows with all joins ever would be six times as high.
  INFO("1,000 joins: " << early / 1us << " us at first, " << late / 1us << " us at last");
  CHECK(late < 3 * early + 20ms);
  end(gateway);
}

} // namespace

TEST_CASE("ten thousand joins and leaves of nodes: what a broker keeps, and what a join and a "
          "status cost, is as before") {
  system_with_loop s;
  auto& loop = shared_loop::of(s.system);
  loop.start();
  std::promise<void> done;
  caf::actor_config config{&loop};
  const auto who = s.system.spawn_class<on_the_loop, caf::no_spawn_options>(
      config, [&done](caf::io::broker& self) {
        check_node_table(self);
        done.set_value();
      });
  done.get_future().wait();
}

TEST_CASE("ten thousand gateways that come and go leave nothing with the actor that lets nodes "
          "in") {
  virtual_time time;
  auto group = std::make_shared<shard_group>();
  (void)group->opened(0, 7071);
  int lost = 0;
  const auto front = time.system().spawn([&lost](caf::event_based_actor*) -> caf::behavior {
    return {[n = std::uint32_t{0}](admit_atom, const node_description&, const caf::actor&) mutable {
              return ++n;
            },
            [&lost](lost_atom, std::uint32_t, const std::string&) { ++lost; }};
  });
  const auto entry =
      time.system().spawn(cluster, front, std::shared_ptr<const shard_group>{std::move(group)});
  std::size_t heap = 0;
  for (int i = 0; i < rounds; ++i) {
    auto gateway = time.system().spawn(idle_actor);
    caf::anon_send(entry, join_atom_v, a_node(i), gateway);
    time.run();
    end(gateway);
    gateway = {};
    time.run();
    if (i == 1000) heap = heap_bytes();
  }
  CHECK(lost == rounds);
  CHECK(heap_bytes() < heap + (64 << 10));
  end(entry);
  end(front);
  time.run();
}
