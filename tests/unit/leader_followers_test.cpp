#include "net/loop/leader_followers.hpp"
#include "tests/catch.hpp"
#include "tests/eventually.hpp"

#include <functional>
#include <vector>

using namespace ropewalk;
using namespace std::chrono_literals;

namespace {

// Events that anybody adds, and the leader handles one at a time. What is handled is counted
// without a lock or an atomic: whoever has the leadership has it alone, or the thread sanitizer and
// the count say otherwise.
class event_source final : public polled {
public:
  void add() {
    const std::lock_guard lock{mutex_};
    ++waiting_;
    changed_.notify_one();
  }

  void interrupt() override {
    const std::lock_guard lock{mutex_};
    interrupted_ = true;
    changed_.notify_one();
  }

  void poll_once() override {
    begin();
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [this] { return waiting_ > 0 || interrupted_; });
    interrupted_ = false;
    take_one(lock);
  }

  // As poll_once, but does not wait.
  void poll_at_once() {
    begin();
    std::unique_lock lock{mutex_};
    take_one(lock);
  }

  [[nodiscard]] std::uint64_t handled() const { return handled_.load(); }
  [[nodiscard]] bool overlapped() const { return overlapped_; }
  [[nodiscard]] std::uint64_t handled_uncounted() const { return unprotected_; }
  std::function<void()> on_event = [] {}; // what handling one does

private:
  void begin() {
    if (inside_.exchange(true)) overlapped_ = true;
  }

  void take_one(std::unique_lock<std::mutex>& lock) {
    const bool any = waiting_ > 0;
    if (any) --waiting_;
    lock.unlock();
    if (any) {
      ++unprotected_;
      on_event();
    }
    inside_ = false;
    if (any) ++handled_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t waiting_ = 0;
  bool interrupted_ = false;
  std::uint64_t unprotected_ = 0;
  std::atomic<bool> inside_{false};
  std::atomic<bool> overlapped_{false};
  std::atomic<std::uint64_t> handled_{0};
};

constexpr std::chrono::milliseconds never = 1h; // the fallback poller does not look by itself

// With a fallback poller that leads from the beginning.
struct bench {
  explicit bench(std::chrono::milliseconds interval) : turns(events, interval) {
    events.on_event = [this] {
      if (yields) turns.yield_to_follower();
    };
    turns.start();
  }

  // The fallback poller stops leading, as if a follower were about to lead; true if `me` then does.
  // It may be back before us: then again.
  bool take_over(leader_id me) {
    return eventually([&] {
      const auto before = events.handled();
      yields = true;
      events.add();
      // Looked at often: the poller is back within its interval.
      if (!eventually([&] { return events.handled() > before; }, 10s, 100us)) return false;
      for (int i = 0; i < 1000; ++i) {
        if (turns.acquire_leadership(me)) {
          yields = false;
          return true;
        }
        std::this_thread::yield();
      }
      return false;
    });
  }

  std::atomic<bool> yields{false};
  event_source events;
  leader_followers turns;
};

} // namespace

TEST_CASE("every leader gets a number of its own, neither nobody's nor the fallback poller's",
          "[leader_followers]") {
  event_source events;
  leader_followers turns{events, never};
  const auto first = turns.enlist();
  const auto second = turns.enlist();
  REQUIRE(first >= leader_id::first_enlisted);
  REQUIRE(second > first);
}

TEST_CASE("only one leader at a time: who asks while another leads is told no",
          "[leader_followers]") {
  event_source events;
  leader_followers turns{events, never};
  const auto me = turns.enlist();
  REQUIRE_FALSE(turns.is_leading());
  REQUIRE(turns.leader() == leader_id::nobody);
  REQUIRE(turns.acquire_leadership(me));
  REQUIRE(turns.is_leading());
  REQUIRE(turns.leader() == me);
  bool other_leads = true;
  bool other_acquires = true;
  std::thread{[&] {
    other_leads = turns.is_leading();
    other_acquires = turns.acquire_leadership(turns.enlist());
  }}.join();
  REQUIRE_FALSE(other_leads);
  REQUIRE_FALSE(other_acquires);
  turns.release_leadership();
  REQUIRE(turns.leader() == leader_id::nobody);
  REQUIRE(turns.acquire_leadership(me));
}

TEST_CASE("the fallback poller leads from the start, as itself", "[leader_followers]") {
  event_source events;
  leader_followers turns{events, never};
  std::atomic<leader_id> leader{leader_id::nobody};
  events.on_event = [&] { leader = turns.leader(); };
  turns.start();
  events.add();
  REQUIRE(eventually([&] { return events.handled() == 1; }));
  REQUIRE(leader == leader_id::fallback_poller);
}

TEST_CASE("the fallback poller makes way for a follower, and lets it be the leader",
          "[leader_followers]") {
  bench b{1ms};
  const auto me = b.turns.enlist();
  REQUIRE(b.take_over(me));
  const auto before = b.events.handled();
  b.events.add();
  std::this_thread::sleep_for(20ms); // many intervals: it is asleep by then
  REQUIRE(b.events.handled() == before);
  b.events.poll_at_once();
  REQUIRE(b.events.handled() == before + 1);
  b.turns.release_leadership();
}

TEST_CASE("when the leader is away for long the fallback poller leads, awake or asleep before",
          "[leader_followers]") {
  bench b{1ms};
  const auto me = b.turns.enlist();
  const bool asleep = GENERATE(false, true);
  REQUIRE(b.take_over(me));
  if (asleep) std::this_thread::sleep_for(20ms);
  const auto before = b.events.handled();
  b.turns.release_leadership();
  b.events.add();
  REQUIRE(eventually([&] { return b.events.handled() == before + 1; }));
}

TEST_CASE("the fallback poller is called to lead when no follower will, however long its interval",
          "[leader_followers]") {
  bench b{never};
  REQUIRE(b.take_over(b.turns.enlist()));
  b.turns.release_leadership();
  const auto before = b.events.handled();
  b.events.add();
  b.turns.call_fallback_poller();
  REQUIRE(eventually([&] { return b.events.handled() == before + 1; }));
}

TEST_CASE("after stop the calling thread leads, whoever led before", "[leader_followers]") {
  bench b{1ms};
  SECTION("the fallback poller, in the middle of a poll") {}
  SECTION("nobody") {
    REQUIRE(b.take_over(b.turns.enlist()));
    b.turns.release_leadership();
  }
  SECTION("a follower that releases it in a while") {
    std::atomic<bool> leads{false};
    std::thread follower{[&] {
      leads = b.take_over(b.turns.enlist());
      std::this_thread::sleep_for(20ms);
      b.turns.release_leadership();
    }};
    const bool led = eventually([&] { return leads.load(); });
    b.turns.stop();
    follower.join();
    REQUIRE(led);
  }
  if (!b.turns.is_leading()) b.turns.stop();
  REQUIRE(b.turns.is_leading());
}

TEST_CASE("leaders that come and go handle every event once, one leader at a time",
          "[leader_followers]") {
  constexpr int sources = 2;
  constexpr int followers = 3;
  constexpr std::uint64_t each = 20'000;
  event_source events;
  leader_followers turns{events, 1ms};
  // Now and then a handler takes long, and now and then a follower is about to lead.
  std::uint64_t count = 0;
  events.on_event = [&] {
    if (++count % 64 == 0) turns.yield_to_follower();
    if (count % 5000 == 0) std::this_thread::sleep_for(3ms);
  };
  turns.start();
  std::vector<std::thread> threads;
  for (int i = 0; i < sources; ++i)
    threads.emplace_back([&] {
      for (std::uint64_t n = 0; n < each; ++n) events.add();
    });
  const auto done = [&] { return events.handled() == sources * each; };
  for (int i = 0; i < followers; ++i)
    threads.emplace_back([&, i, me = turns.enlist()] {
      // The last third is the fallback poller's: a wake-up that is lost leaves events behind.
      while (events.handled() < sources * each * 2 / 3) {
        if (!turns.acquire_leadership(me)) {
          std::this_thread::yield();
          continue;
        }
        if (turns.leader() == me) events.poll_at_once();
        turns.release_leadership();
        if (i == 0) std::this_thread::sleep_for(100us); // runs what it has found
      }
      turns.call_fallback_poller();
    });
  for (auto& t : threads) t.join();
  REQUIRE(eventually(done));
  turns.stop(); // what the leaders counted is this thread's now
  REQUIRE(count == sources * each);
  REQUIRE(events.handled_uncounted() == sources * each);
  REQUIRE_FALSE(events.overlapped());
}

TEST_CASE("a leader that is called away again and again loses no event to a sleeping poller",
          "[leader_followers]") {
  bench b{1ms};
  const auto me = b.turns.enlist();
  for (int round = 0; round < 200; ++round) {
    REQUIRE(b.take_over(me));
    const auto before = b.events.handled();
    // Right when the poller falls asleep, as often as that can be had.
    std::this_thread::sleep_for(std::chrono::microseconds{900 + 3 * round});
    b.events.add();
    b.turns.release_leadership();
    REQUIRE(eventually([&] { return b.events.handled() == before + 1; }));
  }
}
