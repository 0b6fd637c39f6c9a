#include "actors/supervise/process_supervisor.hpp"
#include "tests/catch.hpp"

#include <csignal>

using namespace ropewalk;
using std::chrono::seconds;

namespace {

using kind = process_exit::kind;

constexpr process_exit well{kind::exited, 0};
constexpr process_exit crashed{kind::killed, SIGSEGV};

// A supervisor, the time, and what it wants done, in short: "start 0.1", "start 0.1 after fall",
// "tell 0.0", "kill 0.0"; what it logs is kept by itself.
class supervised {
public:
  explicit supervised(process_supervisor::settings with = {}) : supervisor(with) {
    take(supervisor.begin());
  }

  using words = std::vector<std::string>;

  words take(const process_supervisor::actions& actions) {
    words result;
    for (const auto& a : actions) {
      if (const auto* s = std::get_if<process_supervisor::start>(&a))
        result.push_back("start " + text(s->who) + (s->after_fall ? " after fall" : ""));
      if (const auto* t = std::get_if<process_supervisor::tell_to_leave>(&a))
        result.push_back("tell " + text(t->who));
      if (const auto* k = std::get_if<process_supervisor::kill>(&a))
        result.push_back("kill " + text(k->who));
      if (const auto* l = std::get_if<process_supervisor::log>(&a)) logged = l->text;
    }
    return result;
  }

  words joined(process_ref who) { return take(supervisor.joined(who, now)); }
  words recycle(process_ref who) { return take(supervisor.recycle(who)); }
  words stop() { return take(supervisor.on_stop_requested(now)); }
  words exited(process_ref who, process_exit how) { return take(supervisor.exited(who, how, now)); }
  words start_failed(process_ref who) {
    return take(supervisor.start_failed(who, "no memory", now));
  }
  words after(milliseconds time) { return take(supervisor.passed(now += time)); }

  // What it does next when it is left alone, and how long that took.
  words next() {
    const auto at = supervisor.next_time();
    if (!at) return {"nothing"};
    waited = std::chrono::ceil<milliseconds>(*at - now);
    return after(waited);
  }

  bool said(const std::string& what) {
    INFO(logged);
    CHECK(logged.find(what) != std::string::npos);
    return std::exchange(logged, {}).find(what) != std::string::npos;
  }

  process_supervisor supervisor;
  instant now{};
  milliseconds waited{};
  std::string logged;

private:
  static std::string text(process_ref who) {
    return std::to_string(who.place) + "." + std::to_string(who.generation);
  }
};

using words = supervised::words;

constexpr process_ref first{0, 0};
constexpr process_ref second{0, 1};
constexpr process_ref third{0, 2};

// The first process of the only place runs, and its replacement has been started.
supervised recycling() {
  supervised s;
  s.joined(first);
  REQUIRE(s.recycle(first) == words{"start 0.1"});
  return s;
}

} // namespace

TEST_CASE("every place gets a process, and each is told to leave when the master is") {
  supervised s{{2, milliseconds{1000}, {}}};
  REQUIRE_FALSE(s.supervisor.ended());
  REQUIRE(s.stop() == words{"tell 0.0", "tell 1.0"});
  REQUIRE(s.exited({0, 0}, well).empty());
  REQUIRE_FALSE(s.supervisor.ended());
  REQUIRE(s.exited({1, 0}, well).empty());
  REQUIRE(s.supervisor.ended() == 0);
}

TEST_CASE("a process that falls is started again, and said to come after a fall") {
  supervised s;
  std::uint32_t generation = 0;
  for (const auto how : {crashed, process_exit{kind::killed, SIGKILL},
                         process_exit{kind::exited, 1}, process_exit{kind::unknown, 0}}) {
    REQUIRE(s.exited({0, generation++}, how).empty());
    REQUIRE(s.said("fell"));
    REQUIRE(s.next() == words{"start 0." + std::to_string(generation) + " after fall"});
  }
}

TEST_CASE("a place that falls too often has the master give up: all leave, exit status 1") {
  restart_policy::settings restarts;
  restarts.restarts = 2;
  supervised s{{2, milliseconds{1000}, restarts}};
  s.exited({0, 0}, crashed);
  REQUIRE(s.next() == words{"start 0.1 after fall"});
  s.exited({0, 1}, crashed);
  REQUIRE(s.next() == words{"start 0.2 after fall"});
  REQUIRE(s.exited({0, 2}, crashed) == words{"tell 1.0"});
  REQUIRE(s.said("giving up"));
  s.exited({1, 0}, well);
  REQUIRE(s.supervisor.ended() == 1);
}

TEST_CASE("a process that somebody told to leave is started again at once, however often") {
  supervised s;
  for (std::uint32_t i = 0; i < 100; ++i) {
    const process_exit how = i % 4 == 0   ? well
                             : i % 4 == 1 ? process_exit{kind::killed, SIGTERM}
                             : i % 4 == 2 ? process_exit{kind::killed, SIGINT}
                                          : process_exit{kind::killed, SIGHUP};
    REQUIRE(s.exited({0, i}, how).empty());
    REQUIRE(s.said("left"));
    REQUIRE(s.next() == words{"start 0." + std::to_string(i + 1)});
    REQUIRE(s.waited == restart_policy::settings{}.first_pause);
  }
}

TEST_CASE("a recycled process is told to leave when its replacement has joined, and not before") {
  auto s = recycling();
  REQUIRE(s.next() == words{"nothing"});
  REQUIRE(s.joined(second) == words{"tell 0.0"});
  REQUIRE(s.joined(second).empty()); // a broker that came back
  REQUIRE(s.exited(first, well).empty());
  REQUIRE(s.logged.empty());
  REQUIRE(s.next() == words{"nothing"});
}

TEST_CASE("a second wish to be recycled changes nothing while a replacement is on its way") {
  auto s = recycling();
  REQUIRE(s.recycle(first).empty());
  s.exited(second, crashed);
  REQUIRE(s.recycle(first).empty()); // it waits to be started again
  REQUIRE(s.next() == words{"start 0.2 after fall"});
  REQUIRE(s.recycle(first).empty());
  REQUIRE(s.joined(third) == words{"tell 0.0"});
  REQUIRE(s.recycle(first).empty()); // it is leaving
}

TEST_CASE("a replacement that has run enough before it joined every shard is replaced afterwards") {
  auto s = recycling();
  REQUIRE(s.recycle(second).empty());
  REQUIRE(s.joined(second) == words{"tell 0.0", "start 0.2"});
  REQUIRE(s.joined(third) == words{"tell 0.1"});
}

TEST_CASE("a replacement that falls before it joined is said, counted and started again, and its "
          "predecessor goes on") {
  restart_policy::settings restarts;
  restarts.restarts = 2;
  supervised s{{1, milliseconds{1000}, restarts}};
  s.joined(first);
  s.recycle(first);
  REQUIRE(s.exited(second, crashed).empty());
  REQUIRE(s.said("before it could replace"));
  REQUIRE(s.next() == words{"start 0.2 after fall"});
  REQUIRE(s.exited(third, crashed).empty());
  const auto short_pause = s.waited;
  REQUIRE(s.next() == words{"start 0.3 after fall"});
  REQUIRE(s.waited > short_pause);
  REQUIRE(s.exited({0, 3}, crashed) == words{"tell 0.0"});
  REQUIRE(s.said("giving up"));
}

TEST_CASE("a replacement that somebody told to leave is started again and not counted") {
  auto s = recycling();
  for (std::uint32_t i = 1; i < 20; ++i) {
    REQUIRE(s.exited({0, i}, well).empty());
    REQUIRE(s.said("left"));
    REQUIRE(s.next() == words{"start 0." + std::to_string(i + 1)});
  }
  REQUIRE(s.joined({0, 20}) == words{"tell 0.0"});
}

TEST_CASE("a predecessor that ends while its replacement is on its way needs no other") {
  const auto how = GENERATE(well, crashed);
  auto s = recycling();
  REQUIRE(s.exited(first, how).empty());
  REQUIRE(s.said("its replacement is on its way"));
  REQUIRE(s.next() == words{"nothing"});
  REQUIRE(s.joined(second).empty());
  REQUIRE(s.recycle(second) == words{"start 0.2"}); // it has the place
}

TEST_CASE(
    "a predecessor that ends while its replacement waits to be started again needs no other") {
  auto s = recycling();
  s.exited(second, crashed);
  REQUIRE(s.exited(first, crashed).empty());
  REQUIRE(s.said("its replacement is on its way"));
  REQUIRE(s.next() == words{"start 0.2 after fall"});
  REQUIRE(s.next() == words{"nothing"});
  REQUIRE(s.recycle(third) == words{"start 0.3"});
}

TEST_CASE("predecessor and replacement die at once: one is started") {
  auto s = recycling();
  REQUIRE(s.exited(first, crashed).empty());
  REQUIRE(s.exited(second, crashed).empty());
  REQUIRE(s.next() == words{"start 0.2 after fall"});
  REQUIRE(s.next() == words{"nothing"});
}

TEST_CASE("a process that cannot be started is tried again, for ever, and not counted") {
  supervised s;
  for (std::uint32_t i = 0; i < 20; ++i) {
    REQUIRE(s.start_failed({0, i}).empty());
    REQUIRE(s.said("no memory"));
    REQUIRE(s.next() == words{"start 0." + std::to_string(i + 1)});
    REQUIRE(s.waited == seconds{1});
  }
  s.exited({0, 20}, crashed);
  REQUIRE(s.next() == words{"start 0.21 after fall"});
  s.start_failed({0, 21});
  REQUIRE(s.next() == words{"start 0.22 after fall"}); // it still stands in for one that fell
}

TEST_CASE("a replacement that cannot be started is tried again, and its predecessor goes on") {
  auto s = recycling();
  REQUIRE(s.start_failed(second).empty());
  REQUIRE(s.recycle(first).empty());
  REQUIRE(s.next() == words{"start 0.2"});
  REQUIRE(s.joined(third) == words{"tell 0.0"});
}

TEST_CASE("who does not leave within the drain time and five seconds is killed, once") {
  auto s = recycling();
  s.joined(second);
  REQUIRE(s.after(seconds{34}).empty());
  REQUIRE(s.after(seconds{1}) == words{"kill 0.0"});
  REQUIRE(s.said("has not left"));
  REQUIRE(s.next() == words{"nothing"});
  REQUIRE(s.exited(first, {kind::killed, SIGKILL}).empty());
  REQUIRE(s.logged.empty());
  REQUIRE(s.next() == words{"nothing"});
}

TEST_CASE("who falls while it was leaving is said, and needs no other") {
  auto s = recycling();
  s.joined(second);
  REQUIRE(s.exited(first, crashed).empty());
  REQUIRE(s.said("while it was leaving"));
  REQUIRE(s.next() == words{"nothing"});
}

TEST_CASE("a master that is told to stop while recycling tells both, and starts none") {
  auto s = recycling();
  s.exited(second, crashed);
  REQUIRE(s.stop() == words{"tell 0.0"});
  REQUIRE(s.exited(first, well).empty());
  REQUIRE(s.supervisor.ended() == 0);

  auto t = recycling();
  REQUIRE(t.stop() == words{"tell 0.0", "tell 0.1"});
  REQUIRE(t.joined(second).empty());
  REQUIRE(t.recycle(first).empty());
  t.exited(second, well);
  REQUIRE_FALSE(t.supervisor.ended());
  t.exited(first, well);
  REQUIRE(t.supervisor.ended() == 0);
}

TEST_CASE("a second signal within a second is the first one again, after it, all are killed and "
          "the exit status is 1") {
  auto s = recycling();
  s.joined(second); // the first one drains
  REQUIRE(s.stop() == words{"tell 0.1"});
  for (int i = 0; i < 9; ++i) {
    s.now += milliseconds{111};
    REQUIRE(s.stop().empty());
  }
  s.now += milliseconds{1};
  REQUIRE(s.stop() == words{"kill 0.0", "kill 0.1"});
  REQUIRE(s.said("told again after 1.0 s: ending at once"));
  s.exited(first, {kind::killed, SIGKILL});
  s.exited(second, {kind::killed, SIGKILL});
  REQUIRE(s.supervisor.ended() == 1);
}
